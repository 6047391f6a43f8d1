use std::{path::PathBuf, str::FromStr};
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputSpec {
    Auto,
    Null,
    Wav(PathBuf),
    Device(String),
}
impl FromStr for OutputSpec {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Ok(match s {
            "auto" => Self::Auto,
            "null" => Self::Null,
            d => match d.strip_prefix("wav:") {
                Some(p) => Self::Wav(p.into()),
                None => Self::Device(d.into()),
            },
        })
    }
}
