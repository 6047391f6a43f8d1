//! The sound device.

use crate::{
    cli::doctor::facts::{Sound, Tried},
    player::{self, OutputError, OutputSpec},
};

/// Tries the configured device, unless a node runs that may play on it.
pub fn device(wanted: OutputSpec, node_runs: bool) -> Sound {
    let names = player::devices().into_iter().map(|d| d.name).collect();
    let name = match &wanted {
        OutputSpec::Auto => None,
        OutputSpec::Device(name) => Some(name.as_str()),
        OutputSpec::Null | OutputSpec::Wav(_) => {
            let tried = Tried::Left;
            return Sound {
                wanted,
                names,
                tried,
            };
        }
    };
    if node_runs {
        let tried = Tried::Left;
        return Sound {
            wanted,
            names,
            tried,
        };
    }
    let tried = match player::try_out(name) {
        Ok((name, shape)) => Tried::Opens {
            name,
            takes: format!("{} Hz, {} channels", shape.rate, shape.channels),
        },
        Err(error @ (OutputError::Unknown { .. } | OutputError::NoCard)) => {
            Tried::Missing(error.to_string())
        }
        Err(error) => Tried::Unusable(error.to_string()),
    };
    Sound {
        wanted,
        names,
        tried,
    }
}
