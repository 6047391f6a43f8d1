//! The demo's music: composed here, encoded by ffmpeg where there is one.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    score::Tune,
    tunes::{compose, write_wav},
};

/// A piece in its owner's directory.
pub struct DemoTrack {
    pub title: &'static str,
    /// The file's name.
    pub file: String,
    pub format: &'static str,
    pub owner: &'static str,
}

/// Composes the pieces into `DIR/music/OWNER`.
///
/// # Errors
/// When they cannot be written.
pub fn make(dir: &Path) -> io::Result<Vec<DemoTrack>> {
    let plan = [
        (Tune::Ground, "kitchen", "flac"),
        (Tune::Waltz, "kitchen", "wav"),
        (Tune::Lullaby, "attic", "mp3"),
        (Tune::Blues, "attic", "ogg"),
    ];
    plan.into_iter()
        .map(|(piece, owner, format)| track(dir, piece, owner, format))
        .collect()
}

fn track(
    dir: &Path,
    piece: Tune,
    owner: &'static str,
    format: &'static str,
) -> io::Result<DemoTrack> {
    let home = dir.join("music").join(owner);
    fs::create_dir_all(&home)?;
    let title = piece.title();
    let wav = home.join(title).with_extension("wav");
    write_wav(&wav, compose(piece, RATE))?;
    let wanted = wav.with_extension(format);
    let format = match format != "wav" && encode(&wav, &wanted, title) {
        true => {
            fs::remove_file(&wav)?;
            format
        }
        false => "wav",
    };
    Ok(DemoTrack {
        title,
        file: format!("{title}.{format}"),
        format,
        owner,
    })
}

/// Says whether `to` was made. Without ffmpeg the demo goes on with WAV.
fn encode(from: &Path, to: &Path, title: &str) -> bool {
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(from)
        .args([
            "-metadata",
            &format!("title={title}"),
            "-metadata",
            "artist=p2pmusic",
        ])
        .arg(to)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    run.is_ok_and(|status| status.success())
}

const RATE: u32 = 44_100;
