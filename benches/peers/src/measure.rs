//! Interleaved repetitions, medians, ratios.

/// One figure of one variant, a value a repetition.
#[derive(Debug, Default, Clone)]
pub struct Series(Vec<f64>);

impl Series {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub fn spread(&self) -> String {
        let (low, high) = self.bounds();
        format!("{low:.0}–{high:.0}")
    }

    fn bounds(&self) -> (f64, f64) {
        let low = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        (low, self.0.iter().copied().fold(0.0, f64::max))
    }

    /// The ratio of the medians, and the lowest and highest ratio within one round.
    pub fn over(&self, other: &Self) -> Ratio {
        let rounds = Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect());
        let (low, high) = rounds.bounds();
        Ratio {
            of_medians: self.median() / other.median(),
            low,
            high,
        }
    }
}

/// How two variants compare.
#[derive(Debug, Clone, Copy)]
pub struct Ratio {
    pub of_medians: f64,
    low: f64,
    high: f64,
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            of_medians,
            low,
            high,
        } = self;
        write!(f, "{of_medians:.2} ({low:.2}–{high:.2})")
    }
}

/// A row of a table.
pub fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

pub fn header(cells: &[&str]) {
    println!("| {} |", cells.join(" | "));
    println!("|{}", "---|".repeat(cells.len()));
}
