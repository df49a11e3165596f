/*!
The time of day.
*/

use std::time::SystemTime;

/// Returns the current time to the second, in UTC.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
