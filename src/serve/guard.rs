/*!
Access control: a request needs the secret and this server's own host name, and must not come from
another site's page.

The secret is in the first URL and then in a cookie that no script and no other site can use.
Another page could still make the browser send requests: through a host name of its own that
resolves to this machine (DNS rebinding, so `Host` must be ours), or through a form or a script (so
`Origin`, if present, must be ours too).
*/

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use form_urlencoded::{Serializer, parse};

use super::http::{Body, Request, Response};
use super::problem::Problem;

/// Header fields of every response.
pub const HEADERS: [(&str, &str); 7] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    // The photos are private, and an id may refer to another image later.
    ("Cache-Control", "no-store"),
    ("X-Frame-Options", "DENY"),
];

/// Length of the secret, in bytes.
const SECRET: usize = 32;

/// Accepts or refuses requests.
#[derive(Debug)]
pub struct Guard {
    address: SocketAddr,
    token: String,
    /// A secret that is valid once.
    once: Mutex<Option<String>>,
}

/// Returns a new random secret, in hexadecimal.
fn secret() -> Result<String, getrandom::Error> {
    let mut secret = [0; SECRET];
    getrandom::fill(&mut secret)?;
    Ok(secret.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Compares secrets by their hashes, which `blake3` compares in constant time.
fn is_same(given: &str, secret: &str) -> bool {
    blake3::hash(given.as_bytes()) == blake3::hash(secret.as_bytes())
}

impl Guard {
    /// Creates a guard with a new secret.
    pub fn new(address: SocketAddr) -> Result<Self, getrandom::Error> {
        Ok(Self { address, token: secret()?, once: Mutex::new(None) })
    }

    /// Returns the page's URL with the secret.
    pub fn url(&self) -> String {
        self.url_with(&self.token)
    }

    /// Returns the page's URL with a secret that is valid once: for a program whose arguments other
    /// users of the machine may see.
    pub fn url_once(&self) -> Result<String, getrandom::Error> {
        let token = secret()?;
        let url = self.url_with(&token);
        *self.once.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(url)
    }

    fn url_with(&self, token: &str) -> String {
        let port = self.address.port();
        let host = match self.address.ip() {
            ip if ip.is_unspecified() => "localhost".to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        format!("http://{host}:{port}/?token={token}")
    }

    /// Returns `None` for an accepted request, or a redirect to its URL without the secret.
    pub fn check(&self, request: &Request) -> Result<Option<Response>, Problem> {
        let hosts = [request.field("host"), request.authority.as_deref()];
        let ours = hosts.iter().flatten().all(|host| self.is_ours(host));
        if request.count("host") != 1 || !ours {
            let sentence = "this is not the URL of this page; open the one that was printed";
            return Err(Problem::new(421, sentence));
        }
        let origin = request.field("origin").and_then(|origin| origin.strip_prefix("http://"));
        if request.count("origin") > 0 && !origin.is_some_and(|origin| self.is_ours(origin)) {
            return Err(Problem::new(403, "requests from pages of other sites are refused"));
        }
        let unknown = || {
            Problem::new(
                401,
                "the secret is missing or wrong; open the complete URL that was printed",
            )
        };
        let query = request.query.as_deref().unwrap_or_default();
        let given = || parse(query.as_bytes());
        if let Some((_, token)) = given().find(|(name, _)| name == "token") {
            // HEAD does not use up a secret: some programs send it before they open a URL.
            let known = match request.method.as_str() {
                "GET" => self.is_token(&token) || self.is_once(&token),
                "HEAD" => self.is_token(&token),
                _ => false,
            };
            if !known {
                return Err(unknown());
            }
            let rest = given().filter(|(name, _)| name != "token");
            return Ok(Some(self.welcome(&request.path, rest)));
        }
        let bearer = request.field("authorization").and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
        });
        let cookies = request.field("cookie").unwrap_or_default().split(';');
        let cookie = cookies.filter_map(|one| one.trim().split_once('='));
        let cookie = cookie.filter(|(name, _)| *name == self.cookie()).map(|(_, value)| value);
        if bearer.into_iter().chain(cookie).any(|token| self.is_token(token)) {
            Ok(None)
        } else {
            Err(unknown())
        }
    }

    /// Sets the cookie and redirects to the same URL without the secret.
    fn welcome<'a>(
        &self,
        path: &str,
        rest: impl Iterator<Item = (std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>)>,
    ) -> Response {
        let query = Serializer::new(String::new()).extend_pairs(rest).finish();
        // One slash: two would begin the name of another server.
        let path = format!("/{}", path.trim_start_matches(['/', '\\']));
        let there = if query.is_empty() { path } else { format!("{path}?{query}") };
        let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie(), self.token);
        let fields = vec![("Location", there), ("Set-Cookie", cookie)];
        Response { status: 303, kind: "text/plain", body: Body::Fixed(""), fields }
    }

    /// The name contains the port, because all ports of a host share their cookies.
    fn cookie(&self) -> String {
        format!("barbule-{}", self.address.port())
    }

    fn is_token(&self, given: &str) -> bool {
        is_same(given, &self.token)
    }

    /// Returns whether `given` is the one-time secret, which is then used up.
    fn is_once(&self, given: &str) -> bool {
        let mut once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        let right = once.as_deref().is_some_and(|once| is_same(given, once));
        if right {
            *once = None;
        }
        right
    }

    /// Returns whether `host` (with its port) can only mean this server.
    fn is_ours(&self, host: &str) -> bool {
        let own = self.address.ip();
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port),
            _ => (host, "80"),
        };
        if port != self.address.port().to_string() {
            return false;
        }
        if name.eq_ignore_ascii_case("localhost") {
            return own.is_loopback() || own.is_unspecified();
        }
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let ip = match bare {
            Some(inner) => inner.parse().map(IpAddr::V6).ok(),
            None => name.parse().map(IpAddr::V4).ok(),
        };
        // If we listen on all interfaces, any IP address may be ours; DNS rebinding needs a name.
        ip.is_some_and(|ip| own.is_unspecified() || ip == own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(address: &str) -> Guard {
        Guard::new(address.parse().unwrap()).unwrap()
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (a, b) = (guard("127.0.0.1:80"), guard("127.0.0.1:80"));
        assert_eq!(a.token.len(), 2 * SECRET);
        assert_ne!(a.token, b.token);
        assert!(a.is_token(&a.token) && !a.is_token(&b.token) && !a.is_token(""));
        assert!(!a.is_token(&a.token[1..]));
    }

    #[test]
    fn a_secret_for_one_time_opens_once() {
        let guard = guard("127.0.0.1:80");
        assert!(!guard.is_once(""));
        let url = guard.url_once().unwrap();
        let token = url.rsplit_once("token=").unwrap().1;
        assert!(!guard.is_token(token) && !guard.is_once(&token[1..]));
        assert!(guard.is_once(token) && !guard.is_once(token));
    }

    #[test]
    fn only_names_that_cannot_be_another_server_are_ours() {
        let local = guard("127.0.0.1:8000");
        for host in ["127.0.0.1:8000", "localhost:8000", "LocalHost:8000"] {
            assert!(local.is_ours(host), "{host}");
        }
        for host in [
            "",
            ":",
            ":8000",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1:08000",
            "evil.example:8000",
            "localhost.evil.example:8000",
            "127.0.0.1.evil.example:8000",
            "127.0.0.1:8000:8000",
            "user@127.0.0.1:8000",
            "10.0.0.1:8000",
            "[::1]:8000",
            "[127.0.0.1]:8000",
            "null",
            "127.0.0.1:8000/",
            "localhost:8000@evil.example",
        ] {
            assert!(!local.is_ours(host), "{host}");
        }
        assert!(guard("[::1]:8000").is_ours("[::1]:8000"));
        assert!(guard("127.0.0.1:80").is_ours("127.0.0.1"));
        let open = guard("0.0.0.0:8000");
        assert!(open.is_ours("192.168.1.7:8000") && open.is_ours("localhost:8000"));
        assert!(!open.is_ours("evil.example:8000"));
        assert!(open.url().starts_with("http://localhost:8000/?token="));
        let lan = guard("192.168.1.7:8000");
        assert!(lan.is_ours("192.168.1.7:8000") && !lan.is_ours("localhost:8000"));
    }
}
