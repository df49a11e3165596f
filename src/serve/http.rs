/*!
One HTTP/1.1 connection: it reads one request, sends one response and closes.

Minimal on purpose: `httparse` parses the head, a body needs a Content-Length, and no connection
carries a second request, which rules out request smuggling. Every wait has a timeout.
*/

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use super::problem::Problem;

/// Time limit of a request; a computation that has begun may exceed it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time limit of reading the head, and of a single write.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// Time for which an unread body is drained after the response.
const FAREWELL: Duration = Duration::from_secs(2);
/// Interval at which a waiting read checks whether the server is closing.
const SLICE: Duration = Duration::from_millis(200);
/// Maximum length of the head, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// Maximum number of header fields.
const MAX_FIELDS: usize = 64;

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// As sent, without host and query; not percent-decoded.
    pub path: String,
    pub query: Option<String>,
    /// Host and port, if the request line contains them.
    pub authority: Option<String>,
    /// Header fields; names are in lower case.
    fields: Vec<(String, String)>,
    /// Length of the body, in bytes.
    pub length: u64,
    /// The moment at which the request times out.
    pub deadline: Instant,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub kind: &'static str,
    pub body: Body,
    pub fields: Vec<(&'static str, String)>,
}

/// The body of a response.
#[derive(Debug, Clone)]
pub enum Body {
    Fixed(&'static str),
    Made(Arc<[u8]>),
}

impl Body {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Fixed(text) => text.as_bytes(),
            Self::Made(bytes) => bytes,
        }
    }
}

impl Response {
    pub fn fixed(kind: &'static str, text: &'static str) -> Self {
        Self { status: 200, kind, body: Body::Fixed(text), fields: Vec::new() }
    }

    pub fn made(kind: &'static str, bytes: Arc<[u8]>) -> Self {
        Self { status: 200, kind, body: Body::Made(bytes), fields: Vec::new() }
    }

    pub fn json(status: u16, document: &impl Serialize) -> Self {
        // Cannot fail: our documents have string keys and finite numbers.
        let text = serde_json::to_vec(document).unwrap_or_else(|_| b"{}".to_vec());
        Self { status, ..Self::made("application/json", text.into()) }
    }
}

impl Request {
    /// Returns the value of a header field; `None` if it is missing or repeated.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        values.next().filter(|_| values.next().is_none())
    }

    /// Returns the number of header fields with this name.
    pub fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|(n, _)| n == name).count()
    }

    /// Parses a head and returns it with its length in bytes; `None` if it is incomplete.
    fn parse(head: &[u8], begun: Instant) -> Result<Option<(Self, usize)>, Problem> {
        let unclear = |what: &str| Problem::new(400, format!("invalid HTTP request: {what}"));
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut fields);
        let length = match parsed.parse(head) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if head.len() < MAX_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Err(Problem::new(431, "the head of this request is too long"));
            }
            Err(error) => return Err(unclear(&error.to_string())),
        };
        let target = parsed.path.unwrap_or_default();
        let (authority, target) = match target.strip_prefix("http://") {
            Some(rest) => {
                let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
                (Some(authority.to_owned()), rest.get(authority.len()..).unwrap_or_default())
            }
            None => (None, target),
        };
        if !target.starts_with('/') {
            return Err(unclear("the path does not begin with /"));
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let text = |field: &httparse::Header<'_>| {
            let value = std::str::from_utf8(field.value).ok()?;
            Some((field.name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let fields: Option<Vec<_>> = parsed.headers.iter().map(text).collect();
        let mut request = Self {
            method: parsed.method.unwrap_or_default().to_owned(),
            path: path.to_owned(),
            query,
            authority,
            fields: fields.ok_or_else(|| unclear("a header field is not UTF-8"))?,
            length: 0,
            deadline: begun + PATIENCE,
        };
        if request.count("transfer-encoding") > 0 {
            return Err(Problem::new(411, "the request needs a Content-Length"));
        }
        if request.count("content-length") > 0 {
            let digits = request
                .field("content-length")
                .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
            let length = digits.and_then(|digits| digits.parse().ok());
            request.length = length.ok_or_else(|| unclear("Content-Length is not a number"))?;
        }
        Ok(Some((request, length)))
    }
}

/// One connection of a client.
#[derive(Debug)]
pub struct Connection<'a> {
    stream: TcpStream,
    closing: &'a AtomicBool,
    /// Bytes read past the end of the head.
    early: Vec<u8>,
    /// Length of the body while it is unread, else 0.
    left: u64,
}

impl<'a> Connection<'a> {
    pub fn new(stream: TcpStream, closing: &'a AtomicBool) -> Self {
        // Errors are ignored: at worst, responses are slow.
        drop(stream.set_nodelay(true));
        drop(stream.set_nonblocking(false));
        Self { stream, closing, early: Vec::new(), left: 0 }
    }

    /// Reads the head of the request; `None` if the client sends nothing or disconnects.
    pub fn request(&mut self) -> Result<Option<Request>, Problem> {
        let begun = Instant::now();
        let mut head = Vec::new();
        let mut some = [0; 4096];
        loop {
            let read = match self.read(&mut some, begun + HEAD_PATIENCE) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::TimedOut && !head.is_empty() => {
                    return Err(Problem::new(408, "the request did not arrive in time"));
                }
                Err(_) => return Ok(None),
            };
            if read == 0 {
                return Ok(None);
            }
            head.extend(&some[..read]);
            if let Some((request, length)) = Request::parse(&head, begun)? {
                self.early = head.split_off(length);
                self.left = request.length;
                return Ok(Some(request));
            }
        }
    }

    /// Reads the body of a request; fails if it is longer than `limit` bytes.
    pub fn body(&mut self, request: &Request, limit: u64) -> Result<Vec<u8>, Problem> {
        if request.length > limit {
            let (what, most) = match limit >> 20 {
                0 => ("request", format!("{} KiB", limit >> 10)),
                megabytes => ("file", format!("{megabytes} MiB")),
            };
            let sentence = format!("the {what} is larger than {most}; send a smaller one");
            return Err(Problem::new(413, sentence));
        }
        if request.field("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            // If this fails, so does the read below.
            drop(self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n"));
        }
        let length = request.length as usize;
        // Memory grows with the received bytes, not with the claimed length.
        let mut body = std::mem::take(&mut self.early);
        body.truncate(length);
        let mut some = vec![0; 64 << 10];
        while body.len() < length {
            let wanted = some.len().min(length - body.len());
            match self.read(&mut some[..wanted], request.deadline) {
                Ok(0) => return Err(Problem::new(400, "the upload was cut off")),
                Ok(read) => body.extend(&some[..read]),
                Err(_) => return Err(Problem::new(408, "the upload did not arrive in time")),
            }
        }
        self.left = 0;
        Ok(body)
    }

    /// Sends the response and closes.
    pub fn answer(&mut self, response: &Response, always: &[(&str, &str)], head_only: bool) {
        let body = response.body.bytes();
        let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
        let mut field = |name: &str, value: &str| {
            // Control characters could begin another header line; our values have none.
            let value: String = value.chars().filter(|c| !c.is_control()).collect();
            head.extend([name, ": ", &value, "\r\n"]);
        };
        field("Content-Type", response.kind);
        field("Content-Length", &body.len().to_string());
        field("Connection", "close");
        always.iter().for_each(|(name, value)| field(name, value));
        response.fields.iter().for_each(|(name, value)| field(name, value));
        head.push_str("\r\n");
        let deadline = Instant::now() + PATIENCE;
        let mut send = || -> io::Result<()> {
            self.write(head.as_bytes(), deadline)?;
            if !head_only {
                self.write(body, deadline)?;
            }
            self.stream.shutdown(Shutdown::Write)
        };
        // A client that does not read its response cannot be told why.
        if send().is_ok() && self.left > 0 {
            self.swallow();
        }
    }

    /// Sends all bytes; fails if the client reads too slowly.
    fn write(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now()).min(HEAD_PATIENCE);
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_write_timeout(Some(left))?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Drains the body for a moment: closing while the client still sends would reset the
    /// connection, and the response would be lost.
    fn swallow(&mut self) {
        let until = Instant::now() + FAREWELL;
        let mut some = vec![0; 64 << 10];
        while self.read(&mut some, until).is_ok_and(|read| read > 0) {}
    }

    /// Reads at least one byte. Returns 0 if the client has closed, and fails at the deadline or
    /// when the server closes.
    fn read(&mut self, into: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.closing.load(Ordering::Relaxed) {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left.min(SLICE)))?;
            match self.stream.read(into) {
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                done => return done,
            }
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        303 => "See Other",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        Self::json(problem.status, &json!({ "error": problem.sentence }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(head: &str) -> Result<Option<(Request, usize)>, Problem> {
        Request::parse(head.as_bytes(), Instant::now())
    }

    fn read(head: &str) -> Request {
        parse(head).unwrap().unwrap().0
    }

    #[test]
    fn a_head_is_read() {
        let request = read("POST /a/b?k=1&x=? HTTP/1.1\r\nHoSt: h:1\r\nContent-Length: 12\r\n\r\n");
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/a/b"));
        assert_eq!(
            (request.query.as_deref(), request.field("host")),
            (Some("k=1&x=?"), Some("h:1"))
        );
        assert_eq!((request.length, &request.authority), (12, &None));
        let request = read("GET http://other:80/x HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n");
        assert_eq!((request.authority.as_deref(), request.path.as_str()), (Some("other:80"), "/x"));
        assert_eq!((request.field("host"), request.count("host")), (None, 2));
    }

    #[test]
    fn what_is_unclear_is_refused() {
        assert_eq!(parse("GET / HTTP/1.1\r\nHost: h\r\n"), Ok(None));
        let status = |head: &str| parse(head).unwrap_err().status;
        for (line, expected) in [
            ("Content-Length: -1", 400),
            ("Content-Length: +1", 400),
            ("Content-Length: 1\r\nContent-Length: 1", 400),
            ("Content-Length: 99999999999999999999999", 400),
            ("Transfer-Encoding: chunked", 411),
        ] {
            assert_eq!(status(&format!("POST / HTTP/1.1\r\n{line}\r\n\r\n")), expected, "{line}");
        }
        assert_eq!(status("GET index HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(status("CONNECT host:1 HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(status("\u{1}\u{2}\r\n\r\n"), 400);
        assert_eq!(status(&format!("GET /{}", "a".repeat(MAX_HEAD))), 431);
        let many: String = (0..=MAX_FIELDS).map(|i| format!("x{i}: 1\r\n")).collect();
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{many}\r\n")), 431);
    }

    proptest! {
        #[test]
        fn anything_may_come(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Request::parse(&bytes, Instant::now());
            let _ = Request::parse(&[b"GET /", &bytes[..]].concat(), Instant::now());
        }
    }
}
