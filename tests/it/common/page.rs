/*!
A running server of the page, and its answers.
*/

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::TestEnv;

/// A running server; ended with the test.
pub struct Page {
    pub child: Child,
    pub port: u16,
    pub url: String,
    pub token: String,
}

impl Page {
    /// Serves the index `i.db`.
    pub fn start(env: &TestEnv, args: &[&str]) -> Self {
        Self::start_with(env, "i.db", args)
    }

    /// Serves an index.
    pub fn start_with(env: &TestEnv, index: &str, args: &[&str]) -> Self {
        let serve = ["serve", "--json", "--index", index];
        Self::run(env.plain_command(&[&serve, args].concat()))
    }

    /// Serves the index `i.db` for a user whose home folder is `home`.
    #[cfg(unix)]
    pub fn start_at_home(env: &TestEnv, home: &str) -> Self {
        let mut command = env.plain_command(&["serve", "--json", "--index", "i.db"]);
        command.env("HOME", env.path(home));
        Self::run(command)
    }

    /// Serves the default index, which is not there yet.
    pub fn start_without_index(env: &TestEnv) -> Self {
        Self::run(env.plain_command(&["serve", "--json"]))
    }

    fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let printed = child.stdout.take().unwrap();
        // Read only to the end of the document: the program goes on.
        let document = serde_json::Deserializer::from_reader(printed).into_iter::<Value>().next();
        let document = document.unwrap().unwrap();
        let url = document["url"].as_str().unwrap().to_owned();
        let token = url.split_once("/?token=").unwrap().1.to_owned();
        assert!(document["images"].is_u64(), "{document}");
        let port = document["port"].as_u64().unwrap() as u16;
        let hosts = ["127.0.0.1", "localhost"].map(|host| format!("http://{host}:{port}/?token="));
        assert!(hosts.iter().any(|host| url.starts_with(host)), "{url}");
        Self { child, port, url, token }
    }

    /// Sends these very bytes; what comes back.
    pub fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // A server that refuses early need not read all of it.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("no answer");
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head, body: answer[end + 4..].to_vec() }
    }

    /// A request with these header lines, each ended, beside the right host.
    pub fn ask_with(&self, method: &str, path: &str, lines: &str, body: &[u8]) -> Reply {
        let port = self.port;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n{lines}\r\n"
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    pub fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.token)
    }

    /// A request with the secret.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        self.ask_with(method, path, &self.bearer(), body)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, b"")
    }

    /// The document of a successful answer.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        self.get(path).document(200)
    }

    /// Sends a JSON document.
    pub fn send(&self, method: &str, path: &str, document: &Value) -> Reply {
        let lines = format!("{}Content-Type: application/json\r\n", self.bearer());
        self.ask_with(method, path, &lines, document.to_string().as_bytes())
    }

    /// Waits until a condition of the document at `path` holds, and returns the document.
    #[track_caller]
    pub fn wait_for(&self, path: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let document = self.json(path);
            if condition(&document) {
                return document;
            }
            assert!(Instant::now() < until, "{path} never came there: {document}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The id of an image by the end of its path.
    #[track_caller]
    pub fn id(&self, end: &str) -> i64 {
        let all = self.json("/api/images?k=1000&order=recent");
        let all = all["images"].as_array().unwrap();
        let path = |image: &Value| image["path"].as_str().unwrap().replace('\\', "/");
        all.iter().find(|image| path(image).ends_with(end)).expect(end)["id"].as_i64().unwrap()
    }

    #[track_caller]
    pub fn search(&self, query: &str, image: &[u8]) -> Value {
        self.ask("POST", &format!("/api/search{query}"), image).document(200)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// The document, of an answer with this status.
    #[track_caller]
    pub fn document(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{}\n{text}", self.head);
        assert!(self.head.contains("Content-Type: application/json\r\n"), "{}", self.head);
        serde_json::from_str(&text).unwrap()
    }

    /// The sentence of a refusal.
    #[track_caller]
    pub fn sentence(&self, status: u16) -> String {
        let document = self.document(status);
        assert_eq!(document.as_object().unwrap().len(), 1);
        document["error"].as_str().unwrap().to_owned()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(start.as_str()))
    }
}
