/*!
A headless Chromium, controlled through the DevTools protocol over two pipes.
*/

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Timeout of every browser operation.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    child: Child,
    commands: File,
    answers: Receiver<Value>,
    number: u64,
    session: Option<String>,
}

impl Browser {
    /// Starts the first installed Chromium, with its files in `folder`. Returns `None` if none is
    /// installed; panics in that case if `BARBULE_REQUIRE_BROWSER=1`.
    pub fn start(folder: &Path) -> Option<Self> {
        let Some(program) = installed() else {
            let required = std::env::var("BARBULE_REQUIRE_BROWSER").is_ok_and(|v| v == "1");
            assert!(!required, "BARBULE_REQUIRE_BROWSER=1, but no Chromium is on the path");
            eprintln!("skipped: no Chromium is on the path");
            return None;
        };
        let pipes = ["commands", "answers"].map(|name| folder.join(name));
        assert!(Command::new("mkfifo").args(&pipes).status().unwrap().success());
        // The browser expects its pipes as file descriptors 3 and 4.
        let child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<"$COMMANDS" 4>"$ANSWERS""#, program])
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .env("COMMANDS", &pipes[0])
            .env("ANSWERS", &pipes[1])
            .env("HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // In the shell's order: each open blocks until the other end is open.
        let commands = OpenOptions::new().write(true).open(&pipes[0]).unwrap();
        let output = File::open(&pipes[1]).unwrap();
        let (sender, answers) = channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let message = serde_json::from_slice(&message.unwrap()).unwrap();
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self { child, commands, answers, number: 0, session: None };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        Some(browser)
    }

    /// Sends a command and returns its result.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut command = json!({ "id": self.number, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let mut message = serde_json::to_vec(&command).unwrap();
        message.push(0);
        self.commands.write_all(&message).unwrap();
        loop {
            let answer = self.answers.recv_timeout(PATIENCE).expect("the browser does not answer");
            if answer["id"] == self.number {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// Opens an address.
    #[track_caller]
    pub fn visit(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert!(answer.get("errorText").is_none(), "{answer}");
    }

    /// Evaluates an expression on the page.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn wait_for(&mut self, expression: &str) {
        let until = Instant::now() + PATIENCE;
        // During navigation the expression may throw.
        let careful = format!(
            "(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()"
        );
        while self.value(&careful) != true {
            assert!(
                Instant::now() < until,
                "{expression} never became true: {}",
                self.value("document.body.innerText")
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses and releases a key on the focused element.
    #[track_caller]
    pub fn press(&mut self, key: &str, code: u32, text: Option<&str>) {
        let mut down =
            json!({ "type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code });
        if let Some(text) = text {
            down["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", down);
        let up = json!({ "type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", up);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let close = b"{\"id\":0,\"method\":\"Browser.close\"}\0";
        // An error means that the browser has already exited.
        drop(self.commands.write_all(close));
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until && self.child.try_wait().is_ok_and(|status| status.is_none()) {
            thread::sleep(Duration::from_millis(50));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn installed() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let path = std::env::var_os("PATH")?;
    let there = |name: &&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    names.into_iter().find(there)
}
