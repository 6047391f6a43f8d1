//! The sound device.

use crate::{
    audio::{self, OutputError, OutputSpec},
    cli::doctor::facts::{SoundDevice, Tried},
};

/// Tries the configured device, unless a node runs that may play on it.
pub fn device(wanted: OutputSpec, node_runs: bool) -> SoundDevice {
    let name = match &wanted {
        OutputSpec::Auto if !node_runs => None,
        OutputSpec::Device(name) if !node_runs => Some(name.as_str()),
        _ => {
            let tried = Tried::Left;
            return SoundDevice { wanted, tried };
        }
    };
    let tried = match audio::try_out(name) {
        Ok((name, shape)) => Tried::Opens {
            name,
            takes: format!("{} Hz, {} channels", shape.rate, shape.channels),
        },
        Err(error @ (OutputError::Unknown { .. } | OutputError::NoCard)) => {
            Tried::Missing(error.to_string())
        }
        Err(error) => Tried::Unusable(error.to_string()),
    };
    SoundDevice { wanted, tried }
}
