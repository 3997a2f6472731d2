//! What a metric is in code: an enum whose variants are the values of its label.
//!
//! So there are never more series than are named here, whatever a request holds.
//!
//! Floor 0.

/// Defines metrics, and `ALL` of them in a list. One without a label has a single variant.
macro_rules! metrics {
    ($(
        $metric:ident = $kind:ident $(of each $lock:ident)? $name:literal in $unit:ident, $help:literal:
        $($label:literal in)? [$($variant:ident $($value:literal)?),+];
    )+) => {
        $(
            #[doc = $help]
            #[allow(dead_code, reason = "some belong to a feature")]
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub(crate) enum $metric { $($variant),+ }

            impl $metric {
                /// The value of the label.
                #[allow(dead_code, reason = "some are told elsewhere too")]
                pub(crate) const fn value(self) -> &'static str {
                    match self {
                        $(Self::$variant => concat!($($value)?)),+
                    }
                }
            }

            #[cfg(feature = "metrics")]
            impl Metric for $metric {
                const DESCRIBED: &'static Described = &Described {
                    kind: Kind::$kind,
                    name: $name,
                    unit: Unit::$unit,
                    help: $help,
                    label: concat!($($label)?),
                    values: &[$(concat!($($value)?)),+],
                    of_each_lock: !concat!($(stringify!($lock))?).is_empty(),
                };

                const PLACE: usize = Place::$metric as usize;

                fn index(self) -> usize {
                    self as usize
                }

                fn keys() -> &'static [Key] {
                    static KEYS: OnceLock<Box<[Key]>> = OnceLock::new();
                    KEYS.get_or_init(|| Self::DESCRIBED.keys(None))
                }
            }
        )+

        /// Where each is in `ALL`.
        #[cfg(feature = "metrics")]
        enum Place { $($metric),+ }

        #[cfg(feature = "metrics")]
        pub(super) const ALL: &[(&Described, fn() -> &'static [Key])] =
            &[$(($metric::DESCRIBED, $metric::keys)),+];
    };
}

pub(super) use metrics;
