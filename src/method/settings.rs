/*!
Options of methods, as values keyed by their names.

The command line and plans pass [`Settings`] through; each method converts them to typed options.
*/

use std::collections::BTreeMap;

use super::MethodError;

/// The kind of an option's value, and its allowed range.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// On or off.
    Flag,
    /// A whole number in an inclusive range.
    Count {
        /// The minimum.
        least: usize,
        /// The maximum.
        most: usize,
    },
    /// A real number.
    Number,
    /// One of several words, each with a line of help.
    Choice(&'static [(&'static str, &'static str)]),
}

/// The value of an option.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A flag that is set.
    Set,
    /// A whole number.
    Count(usize),
    /// A real number.
    Number(f64),
    /// A word of [`Kind::Choice`].
    Word(&'static str),
}

/// The declaration of an option.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct MethodOption {
    /// The name; on the command line it follows `--`.
    pub name: &'static str,
    /// Placeholder of the value in the help; empty for a flag.
    pub value_name: &'static str,
    /// The default as the help prints it; empty if it prints none.
    pub default: &'static str,
    /// The default in the recipe of the published runs.
    pub paper: Option<&'static str>,
    /// The help: one sentence.
    pub help: &'static str,
    /// The kind of its value.
    pub kind: Kind,
}

impl MethodOption {
    const fn new(
        name: &'static str,
        value_name: &'static str,
        default: &'static str,
        help: &'static str,
        kind: Kind,
    ) -> Self {
        Self { name, value_name, default, paper: None, help, kind }
    }

    /// Declares a flag.
    pub const fn flag(name: &'static str, help: &'static str) -> Self {
        Self::new(name, "", "", help, Kind::Flag)
    }

    /// Declares a real number.
    pub const fn number(
        name: &'static str,
        value_name: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self::new(name, value_name, default, help, Kind::Number)
    }

    /// Declares a whole number from `range[0]` to `range[1]`, inclusive.
    pub const fn count(
        name: &'static str,
        value_name: &'static str,
        default: &'static str,
        range: [usize; 2],
        help: &'static str,
    ) -> Self {
        let [least, most] = range;
        Self::new(name, value_name, default, help, Kind::Count { least, most })
    }

    /// Declares a choice between words, each with a line of help.
    pub const fn choice(
        name: &'static str,
        value_name: &'static str,
        default: &'static str,
        words: &'static [(&'static str, &'static str)],
        help: &'static str,
    ) -> Self {
        Self::new(name, value_name, default, help, Kind::Choice(words))
    }

    /// Sets the default in the recipe of the published runs.
    pub const fn with_paper(mut self, value: &'static str) -> Self {
        self.paper = Some(value);
        self
    }

    /// Parses a value.
    ///
    /// # Errors
    /// [`MethodError::Value`] if `text` is not a value of this option.
    pub fn parse(&self, text: &str) -> Result<Value, MethodError> {
        let value = match self.kind {
            Kind::Flag => (text == "true").then_some(Value::Set),
            Kind::Count { least, most } => {
                let count = text.parse().ok().filter(|n| (least..=most).contains(n));
                count.map(Value::Count)
            }
            Kind::Number => text.parse().ok().map(Value::Number),
            Kind::Choice(words) => {
                let word = words.iter().find(|(word, _)| *word == text);
                word.map(|(word, _)| Value::Word(word))
            }
        };
        value.ok_or_else(|| MethodError::Value {
            option: self.name,
            expected: self.expected(),
            value: text.to_owned(),
        })
    }

    /// Describes the allowed values.
    fn expected(&self) -> String {
        match self.kind {
            Kind::Flag => "true".to_owned(),
            Kind::Count { least, most: usize::MAX } => format!("a whole number from {least}"),
            Kind::Count { least, most } => format!("a whole number from {least} to {most}"),
            Kind::Number => "a number".to_owned(),
            Kind::Choice(words) => {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                format!("one of {}", words.join(", "))
            }
        }
    }
}

/// Values of options by name. Options without a value take their defaults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings(BTreeMap<&'static str, Value>);

impl Settings {
    /// Sets an option.
    pub fn set(&mut self, name: &'static str, value: Value) {
        self.0.insert(name, value);
    }

    /// Sets an option that has no value yet.
    pub fn set_default(&mut self, name: &'static str, value: Value) {
        self.0.entry(name).or_insert(value);
    }

    /// Returns whether a flag is set.
    pub fn flag(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns a whole number.
    pub fn count(&self, name: &str) -> Option<usize> {
        match self.0.get(name)? {
            Value::Count(count) => Some(*count),
            _ => None,
        }
    }

    /// Returns a real number.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.0.get(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns a real number in single precision.
    pub fn single(&self, name: &str) -> Option<f32> {
        self.number(name).map(|number| number as f32)
    }

    /// Returns a word of a choice.
    pub fn word(&self, name: &str) -> Option<&'static str> {
        match self.0.get(name)? {
            Value::Word(word) => Some(word),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parsed_by_their_kind() {
        let count = MethodOption::count("parts", "M", "3", [1, 16], "");
        assert_eq!(count.parse("16"), Ok(Value::Count(16)));
        for bad in ["0", "17", "x", "1.5"] {
            let error = count.parse(bad).unwrap_err().to_string();
            assert!(error.contains("a whole number from 1 to 16"), "{error}");
        }
        let open = MethodOption::count("n", "N", "1", [1, usize::MAX], "");
        assert!(open.parse("0").unwrap_err().to_string().contains("a whole number from 1, not"));
        let number = MethodOption::number("w", "W", "1", "");
        assert_eq!(number.parse("1e-5"), Ok(Value::Number(1e-5)));
        assert!(number.parse("many").is_err());
        let choice =
            MethodOption::choice("level", "LEVEL", "", &[("image", ""), ("feature", "")], "");
        assert_eq!(choice.parse("feature"), Ok(Value::Word("feature")));
        let error = choice.parse("map").unwrap_err().to_string();
        assert!(error.contains("level must be one of image, feature, not 'map'"), "{error}");
    }

    #[test]
    fn defaults_do_not_replace_values() {
        let mut settings = Settings::default();
        settings.set("w", Value::Number(0.1));
        settings.set_default("w", Value::Number(2.0));
        settings.set_default("parts", Value::Count(4));
        assert_eq!((settings.single("w"), settings.count("parts")), (Some(0.1), Some(4)));
        assert_eq!((settings.number("parts"), settings.word("w")), (None, None));
        assert!(settings.flag("w") && !settings.flag("spatial-sum"));
    }
}
