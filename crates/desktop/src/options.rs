//! The command line of the example.

use std::path::PathBuf;

/// The options of the command line.
pub struct Options {
    pub index: PathBuf,
    pub folder: Option<PathBuf>,
    pub query: Option<PathBuf>,
    pub screenshot: Option<PathBuf>,
}

impl Options {
    pub fn parse(mut args: impl Iterator<Item = PathBuf>) -> Result<Self, String> {
        let (index, none) = (PathBuf::from("desktop.db"), None);
        let mut options =
            Self { index, folder: none.clone(), query: none.clone(), screenshot: none };
        while let Some(name) = args.next() {
            let value = args.next().ok_or(format!("{} needs a value", name.display()))?;
            match name.to_str() {
                Some("--index") => options.index = value,
                Some("--folder") => options.folder = Some(value),
                Some("--query") => options.query = Some(value),
                Some("--screenshot") => options.screenshot = Some(value),
                _ => return Err(format!("unknown option {}", name.display())),
            }
        }
        Ok(options)
    }
}
