/*!
A filter of the images that a search may find.
*/

use super::paths::is_under;

/// Conditions on images. The empty filter lets every image through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// The image lies in one of these folders (absolute paths); no condition if empty.
    pub under: Vec<String>,
    /// It has one of these labels; no condition if empty.
    pub labels: Vec<String>,
    /// It has none of these labels.
    pub not: Vec<String>,
    /// It has a label.
    pub labelled: bool,
}

impl Filter {
    /// Lets through images in `folder` (an absolute path), and in the folders named before.
    pub fn under(mut self, folder: impl Into<String>) -> Self {
        self.under.push(folder.into());
        self
    }

    /// Lets through images with `label`, and with the labels named before.
    pub fn labelled_as(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// Keeps images with `label` out.
    pub fn not_labelled_as(mut self, label: impl Into<String>) -> Self {
        self.not.push(label.into());
        self
    }

    /// Keeps images without a label out.
    pub fn with_any_label(self) -> Self {
        Self { labelled: true, ..self }
    }

    /// Returns whether the filter lets every image through.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether an image at `path` with `label` passes.
    pub fn lets_through(&self, path: &str, label: Option<&str>) -> bool {
        (self.under.is_empty() || self.under.iter().any(|folder| is_under(path, folder)))
            && self.lets_label_through(label)
    }

    /// Whether a label passes, or its absence.
    pub(super) fn lets_label_through(&self, label: Option<&str>) -> bool {
        let among = |labels: &[String]| label.is_some_and(|own| labels.iter().any(|l| l == own));
        (self.labels.is_empty() || among(&self.labels))
            && !among(&self.not)
            && (!self.labelled || label.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_to_hold() {
        let list = |texts: &[&str]| texts.iter().map(|t| t.to_string()).collect::<Vec<_>>();
        let all = Filter::default();
        assert!(all.is_empty() && all.lets_through("/a/b.jpg", None));
        let under = Filter { under: list(&["/a/b", "/c"]), ..Filter::default() };
        assert!(under.lets_through("/a/b/x.jpg", None) && under.lets_through("/c/d/x.jpg", None));
        // A name that begins alike is another folder.
        assert!(!under.lets_through("/a/bc/x.jpg", None));
        let owls = Filter { labels: list(&["owl"]), ..under.clone() };
        assert!(owls.lets_through("/c/x.jpg", Some("owl")));
        assert!(!owls.lets_through("/c/x.jpg", None) && !owls.lets_through("/d", Some("owl")));
        let no_owls = Filter { not: list(&["owl"]), ..Filter::default() };
        assert!(no_owls.lets_through("/x", None) && !no_owls.lets_through("/x", Some("owl")));
        let known = Filter { labelled: true, ..Filter::default() };
        assert!(!known.lets_through("/x", None) && known.lets_through("/x", Some("owl")));
    }
}
