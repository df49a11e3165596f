/*!
A small scanner for Rust sources: string literals by line, and the code without comments, literals
and tests.
*/

/// A scanned file.
#[derive(Debug, Default)]
pub struct Scanned {
    /// String literals outside tests: line from 1, and the text as written.
    pub literals: Vec<(usize, String)>,
    /// The code outside tests. Comments and the contents of literals are blank.
    pub code: String,
    /// Names of test modules in files of their own.
    pub tests: Vec<String>,
}

impl Scanned {
    /// Scans a file.
    pub fn new(source: &str) -> Self {
        let (literals, code) = split(source);
        let mut bytes = code.clone().into_bytes();
        let mut tests = Vec::new();
        let mut hidden = Vec::new();
        for (at, _) in code.match_indices("#[cfg(") {
            let end = at + matching(&code[at..], '[', ']');
            if !is_test(&code[at..end]) {
                continue;
            }
            let item = &code[end..];
            let stop = item.find(['{', ';']).map_or(item.len(), |stop| {
                if item[stop..].starts_with('{') { matching(item, '{', '}') } else { stop + 1 }
            });
            let words: Vec<&str> = item[..stop].split_whitespace().collect();
            if let Some(name) = words.last().and_then(|last| last.strip_suffix(';'))
                && words.contains(&"mod")
            {
                tests.push(name.to_owned());
            }
            hidden.push(at..end + stop);
        }
        for range in &hidden {
            bytes[range.clone()].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        }
        let line = |at: usize| 1 + source[..at].matches('\n').count();
        let literals = literals
            .into_iter()
            .filter(|(at, _)| !hidden.iter().any(|range| range.contains(at)))
            .map(|(at, text)| (line(at), text))
            .collect();
        Self { literals, code: String::from_utf8(bytes).unwrap(), tests }
    }
}

/// Whether a `#[cfg(…)]` is about tests only.
fn is_test(cfg: &str) -> bool {
    let mut words = cfg.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| word == "test") && !cfg.contains("not(test")
}

/// The end of the first group of brackets, or of the text.
fn matching(text: &str, open: char, close: char) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return at + 1;
            }
        }
    }
    text.len()
}

/// The literals by offset, and the source with comments and literals blanked byte by byte.
fn split(source: &str) -> (Vec<(usize, String)>, String) {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut literals = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source[at..];
        let before = source[..at].chars().next_back();
        let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if rest.starts_with('"') {
            let end = quoted(rest);
            literals.push((at, rest[1..end - 1].to_owned()));
            end
        } else if let Some((start, end, whole)) =
            raw(rest).filter(|_| !in_word || before == Some('b'))
        {
            literals.push((at, rest[start..end].to_owned()));
            whole
        } else if rest.starts_with('\'') {
            character(rest)
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        // A lifetime's quote blanks nothing but itself.
        code[at..at + length].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        at += length;
    }
    (literals, String::from_utf8(code).unwrap())
}

/// The length of a block comment, with those inside it.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a literal in quotes.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Start and end of a raw string's text, and the length of the whole.
fn raw(text: &str) -> Option<(usize, usize, usize)> {
    let hashes = text.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    let content = hashes[count..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(count));
    let (start, length) = (count + 2, content.find(&end)?);
    Some((start, start + length, start + length + end.len()))
}

/// The length of a character literal, or of a lifetime's quote.
fn character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            characters.next();
            characters.find(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1)
        }
        Some(_) => characters.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1),
        None => 1,
    }
}

#[test]
fn literals_are_told_from_comments_and_tests() {
    let source = r###"
// "a comment"
/* "another /* inside */" */
fn f<'a>(x: &'a str) -> char { g("one \" --flag", r#"raw "two""#, b"three"); '"' }
#[cfg(test)]
mod tests { fn t() { g("--hidden }"); } }
#[cfg(test)]
mod oracle;
#[cfg(not(test))]
fn h() { g("four
lines"); g("five") }
"###;
    let scanned = Scanned::new(source);
    let texts: Vec<(usize, &str)> =
        scanned.literals.iter().map(|(line, text)| (*line, text.as_str())).collect();
    let expected = [
        (4, "one \\\" --flag"),
        (4, "raw \"two\""),
        (4, "three"),
        (10, "four\nlines"),
        (11, "five"),
    ];
    assert_eq!(texts, expected);
    assert_eq!(scanned.tests, ["oracle"]);
    assert!(scanned.code.contains("fn h()") && !scanned.code.contains("fn t()"));
}
