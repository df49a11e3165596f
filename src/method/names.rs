/*!
Enums whose values have names for the command line and for records.
*/

/// Generates `NAMES`, `name`, `Display` and `FromStr` for an enum from one list.
macro_rules! named {
    ($type:ident, $what:literal, $($variant:ident => $name:literal),+ $(,)?) => {
        impl $type {
            /// All names.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The name for the command line and for records.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(format!(
                        "'{text}' is not {}; choose one of {}",
                        $what,
                        Self::NAMES.join(", ")
                    )),
                }
            }
        }
    };
}

pub(crate) use named;

#[cfg(test)]
mod tests {
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Bird {
        Wren,
        Tit,
    }
    named!(Bird, "a bird", Wren => "wren", Tit => "tit");

    #[test]
    fn names_read_back() {
        for (bird, name) in [(Bird::Wren, "wren"), (Bird::Tit, "tit")] {
            assert_eq!((bird.to_string().as_str(), name.parse()), (name, Ok(bird)));
        }
        let error = "Wren".parse::<Bird>().unwrap_err();
        assert_eq!(error, "'Wren' is not a bird; choose one of wren, tit");
    }
}
