/*!
A request with its connection, as the answers of routes get it.
*/

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::http::{Connection, Request, Response};
use super::problem::Problem;

/// Maximum size of an uploaded file, in bytes.
pub const MAX_UPLOAD: u64 = 64 << 20;
/// Maximum size of a JSON document, in bytes.
const MAX_JSON: u64 = 64 << 10;

/// The answer to a request.
pub type Answer = Result<Response, Problem>;

/// A request and its connection.
pub struct Call<'a, 'b> {
    pub request: &'a Request,
    pub connection: &'a mut Connection<'b>,
    /// The `{id}` of the path.
    pub id: i64,
}

impl Call<'_, '_> {
    /// Reads the body: the file of an image.
    pub fn image(&mut self) -> Result<Vec<u8>, Problem> {
        self.connection.body(self.request, MAX_UPLOAD)
    }

    /// Reads the body: a JSON document. Its type must be declared: no form of another page can
    /// send that.
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        let kind = self.request.field("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(415, "the request needs the Content-Type application/json"));
        }
        let body = self.connection.body(self.request, MAX_JSON)?;
        // An object: serde would take a list for its fields, too.
        let object = serde_json::from_slice::<Map<String, Value>>(&body);
        object.and_then(|object| T::deserialize(Value::Object(object))).map_err(|error| {
            Problem::new(400, format!("the body is not the JSON that belongs here: {error}"))
        })
    }
}
