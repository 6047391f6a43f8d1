//! The kernel's settings, of which a container may let nobody write any.

use super::command;

/// Sets `setting`, a path below /proc/sys, on the machine that `prefix` leads to; where
/// that cannot be, says why.
pub fn set(prefix: &[String], setting: &str, value: &str) -> Result<(), String> {
    let mut shell = command(prefix, "sh");
    let script = "echo \"$1\" > \"/proc/sys/$2\"";
    let output = shell.args(["-c", script, "sh", value, setting]).output();
    let output = output.map_err(|why| why.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "the kernel's settings cannot be written here: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}
