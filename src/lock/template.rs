//! `order:{id}`: text with the names of values to fill in.
//!
//! Floor 1.

use crate::config::ConfigError;
use crate::lock::escape::{is_unreserved, push_value};
use crate::lock::lock_key::LockKey;

/// A parsed template. Values are escaped, so no two sets of values render to the same text.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Value(String),
}

impl Template {
    /// Parses text with at least one `{name}`.
    ///
    /// Between two values there must be a character that no escaped value contains: otherwise
    /// `{a}{b}` makes one key of `x`, `yz` and `xy`, `z`.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let error = |accepted: &'static str| ConfigError::new("key template", text, accepted);
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            let Some((name, after)) = from.strip_prefix('{').and_then(|s| s.split_once('}')) else {
                return Err(error("text with {name} in matching braces"));
            };
            if name.is_empty() || name.contains(['{', '}']) || name.trim() != name {
                return Err(error(
                    "a name in each pair of braces, spelled as the route spells it",
                ));
            }
            let separates = before
                .bytes()
                .any(|byte| !is_unreserved(byte) && byte != b'%');
            if !parts.is_empty() && !separates {
                return Err(error(
                    "between two values a character like `:` or `/`, which escaped values never contain",
                ));
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Value(name.to_owned()));
            rest = after;
        }
        if parts.is_empty() {
            return Err(error(
                "text with at least one {name}; for one lock on the whole route give a LockKey",
            ));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if text.len() > LockKey::MAX_BYTES {
            return Err(error("at most 256 bytes"));
        }
        Ok(Self { parts })
    }

    /// The key for the values that `value` finds by name.
    ///
    /// # Errors
    /// The name of the value that is missing or empty.
    pub(crate) fn render<'a>(
        &self,
        value: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Result<LockKey, &str> {
        let mut key = String::with_capacity(64);
        let mut missing = "";
        for part in &self.parts {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Value(name) => match value(name) {
                    Some(value) if !value.is_empty() => push_value(&mut key, value),
                    _ => missing = name,
                },
            }
        }
        match LockKey::bounded(&key) {
            Some(key) if missing.is_empty() => Ok(key),
            _ => Err(missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Template;

    fn render(template: &str, values: &[(&str, &str)]) -> Result<String, String> {
        let template = Template::parse(template).unwrap();
        template
            .render(|name| Some(values.iter().find(|(n, _)| *n == name)?.1.as_bytes()))
            .map(|key| key.to_string())
            .map_err(str::to_owned)
    }

    #[test]
    fn no_two_sets_of_values_meet_by_punctuation() {
        let awkward = [
            "a", "b", "a:b", "b:a", "a%3Ab", "a%253Ab", "{a}", "a}", "{", "%", "%25", "a b", "é",
            "a/b", "\0", "\n", "A", "-", ":", "::",
        ];
        let mut seen = std::collections::HashMap::new();
        for a in awkward {
            for b in awkward {
                let key = render("t:{a}:{b}", &[("a", a), ("b", b)]).unwrap();
                assert!(!key.contains(['{', '}']), "{key}");
                if let Some(other) = seen.insert(key.clone(), (a, b)) {
                    panic!("{other:?} and {:?} are both {key}", (a, b));
                }
            }
        }
    }

    #[test]
    fn a_missing_or_empty_value_is_named() {
        assert_eq!(render("t:{id}", &[]), Err("id".into()));
        assert_eq!(render("t:{id}", &[("id", "")]), Err("id".into()));
    }

    #[test]
    fn a_bad_template_is_refused_with_the_reason() {
        let long = format!("{{id}}{}", "x".repeat(300));
        for bad in [
            "",
            "order",
            "order:{id",
            "order:id}",
            "{}",
            "{ id }",
            "{{id}}",
            "{a}{b}",
            "{a}-{b}",
            "{a}%2F{b}",
            &long,
        ] {
            let error = Template::parse(bad).expect_err(bad).to_string();
            assert!(error.contains("key template"), "{error}");
        }
    }
}
