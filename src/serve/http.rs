/*!
HTTP/1.1 over one connection: a request, its answer, and it is closed.

Small on purpose: `httparse` reads the head, a body has a length or is refused, and no
connection carries a second request, so nothing can hide between two. Every wait ends.
*/

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::problem::Problem;

/// How long a request may take in all, but for computing what has begun.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long its head may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long is waited for a client to take note of its answer.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often a wait looks whether the server closes.
const SLICE: Duration = Duration::from_millis(200);
/// The longest head, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// Most header fields.
const MAX_FIELDS: usize = 64;

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// As it was sent, without host and query; never decoded.
    pub path: String,
    pub query: Option<String>,
    /// Host and port, if the first line names them.
    pub authority: Option<String>,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    /// Length of the body.
    pub length: u64,
    /// When the patience ends.
    pub deadline: Instant,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub kind: &'static str,
    pub body: Body,
    pub fields: Vec<(&'static str, String)>,
}

/// What an answer carries.
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
        // Our documents have text keys and finite numbers, so that nothing can fail.
        let text = serde_json::to_vec(document).unwrap_or_else(|_| b"{}".to_vec());
        Self { status, ..Self::made("application/json", text.into()) }
    }
}

impl Request {
    /// The value of a header field; `None` if it is not there or there more than once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        values.next().filter(|_| values.next().is_none())
    }

    /// How often a header field is there.
    pub fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|(n, _)| n == name).count()
    }

    /// Reads a head; `None` if it goes on.
    fn parse(head: &[u8], begun: Instant) -> Result<Option<(Self, usize)>, Problem> {
        let unclear = |what: &str| Problem::new(400, format!("this is no HTTP request: {what}"));
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
            return Err(unclear("its path does not begin with /"));
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
            fields: fields.ok_or_else(|| unclear("a header field is no text"))?,
            length: 0,
            deadline: begun + PATIENCE,
        };
        if request.count("transfer-encoding") > 0 {
            return Err(Problem::new(411, "say how long the body is (Content-Length)"));
        }
        if request.count("content-length") > 0 {
            let digits = request
                .field("content-length")
                .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
            let length = digits.and_then(|digits| digits.parse().ok());
            request.length = length.ok_or_else(|| unclear("its Content-Length is no number"))?;
        }
        Ok(Some((request, length)))
    }
}

/// One connection of a client.
#[derive(Debug)]
pub struct Connection<'a> {
    stream: TcpStream,
    closing: &'a AtomicBool,
    /// What was read beyond the head.
    early: Vec<u8>,
    /// How much of the body has not been read.
    left: u64,
}

impl<'a> Connection<'a> {
    pub fn new(stream: TcpStream, closing: &'a AtomicBool) -> Self {
        // Without these a slow answer is all that is lost.
        drop(stream.set_nodelay(true));
        drop(stream.set_nonblocking(false));
        Self { stream, closing, early: Vec::new(), left: 0 }
    }

    /// Reads the head of the request; `None` if the client says nothing.
    pub fn request(&mut self) -> Result<Option<Request>, Problem> {
        let begun = Instant::now();
        let mut head = Vec::new();
        let mut some = [0; 4096];
        loop {
            let read = match self.read(&mut some, begun + HEAD_PATIENCE) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::TimedOut && !head.is_empty() => {
                    return Err(Problem::new(408, "the request did not come to its end in time"));
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

    /// Reads the body of a request, if it is no longer than `limit` bytes.
    pub fn body(&mut self, request: &Request, limit: u64) -> Result<Vec<u8>, Problem> {
        if request.length > limit {
            let megabytes = limit >> 20;
            let sentence = format!("the file is larger than {megabytes} MiB; send a smaller one");
            return Err(Problem::new(413, sentence));
        }
        if request.field("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            // If nobody listens, reading will tell.
            drop(self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n"));
        }
        let length = request.length as usize;
        // Room is made as bytes come: a length that is only claimed costs nothing.
        let mut body = std::mem::take(&mut self.early);
        body.truncate(length);
        let mut some = vec![0; 64 << 10];
        while body.len() < length {
            let wanted = some.len().min(length - body.len());
            match self.read(&mut some[..wanted], request.deadline) {
                Ok(0) => return Err(Problem::new(400, "the file was cut off on its way")),
                Ok(read) => body.extend(&some[..read]),
                Err(_) => return Err(Problem::new(408, "the file did not arrive in time")),
            }
        }
        self.left = 0;
        Ok(body)
    }

    /// Sends the answer and closes.
    pub fn answer(&mut self, response: &Response, always: &[(&str, &str)], head_only: bool) {
        let body = response.body.bytes();
        let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
        let mut field = |name: &str, value: &str| {
            // Nothing that could begin another line; no value of ours has any.
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
        // Whoever does not listen to the answer cannot be told.
        if send().is_ok() && self.left > 0 {
            self.swallow();
        }
    }

    /// Sends all of it, unless the client takes too long to read it.
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

    /// Reads on for a moment: closing while a client still sends takes its answer away.
    fn swallow(&mut self) {
        let until = Instant::now() + FAREWELL;
        let mut some = vec![0; 64 << 10];
        while self.read(&mut some, until).is_ok_and(|read| read > 0) {}
    }

    /// Reads at least a byte, unless the client has closed, time is up or the server closes.
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
        303 => "See Other",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
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
