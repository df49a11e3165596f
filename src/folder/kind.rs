/*!
Kinds of files that are not read, by their extensions.
*/

use serde::{Deserialize, Serialize};

/// The kind of a file that is no image of a format that this build reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FileKind {
    /// A picture in a format that this build does not read.
    Photo,
    /// A video.
    Video,
    /// Anything else.
    Other,
}

/// Formats of pictures that are not read, and their extensions, in lower case.
const PHOTOS: [(&str, &[&str]); 6] = [
    ("AVIF", &["avif", "avifs"]),
    (
        "raw",
        &[
            "3fr", "crw", "dcr", "erf", "fff", "gpr", "iiq", "k25", "kdc", "mef", "mos", "mrw",
            "nrw", "raw", "rwl", "sr2", "srf", "srw", "x3f",
        ],
    ),
    ("HEIC", &["heics", "heifs"]),
    ("GIMP", &["xcf"]),
    ("SVG", &["svg", "svgz"]),
    ("HDR", &["exr", "hdr"]),
];

/// Extensions of videos.
const VIDEOS: [&str; 22] = [
    "3g2", "3gp", "asf", "avi", "flv", "insv", "m2ts", "m2v", "m4v", "mkv", "mod", "mov", "mp4",
    "mpeg", "mpg", "mts", "ogv", "ts", "vob", "webm", "wmv", "lrv",
];

/// Other pictures that are not read, which go by their own extension.
const MORE_PHOTOS: [&str; 6] = ["pcx", "jxr", "jph", "dds", "cur", "wbmp"];

impl FileKind {
    /// Returns the kind of the files with an extension in lower case.
    pub fn of(extension: &str) -> Self {
        let photo = PHOTOS.iter().any(|(_, all)| all.contains(&extension));
        if photo || MORE_PHOTOS.contains(&extension) {
            return Self::Photo;
        }
        if VIDEOS.contains(&extension) { Self::Video } else { Self::Other }
    }

    /// Returns the name of the format of pictures with an extension in lower case.
    pub fn format(extension: &str) -> String {
        let named = PHOTOS.iter().find(|(_, all)| all.contains(&extension));
        named.map_or_else(|| extension.to_uppercase(), |(name, _)| (*name).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_have_one_kind() {
        let all = [("heics", FileKind::Photo), ("x3f", FileKind::Photo), ("pcx", FileKind::Photo)];
        let more = [("mp4", FileKind::Video), ("txt", FileKind::Other), ("", FileKind::Other)];
        for (extension, kind) in all.into_iter().chain(more) {
            assert_eq!(FileKind::of(extension), kind, "{extension}");
        }
        assert_eq!(["heifs", "mrw", "pcx"].map(FileKind::format), ["HEIC", "raw", "PCX"]);
        let photos = PHOTOS.iter().flat_map(|(_, all)| all.iter());
        for extension in photos.chain(&MORE_PHOTOS) {
            assert!(!VIDEOS.contains(extension), "{extension}");
        }
    }
}
