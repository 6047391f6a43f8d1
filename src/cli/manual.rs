//! The manual pages, made of what the command line knows of itself.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use clap::CommandFactory as _;

use super::args::Cli;

/// Writes a page for every command into `dir`: `p2pmusic.1`, `p2pmusic-ctl.1`,
/// `p2pmusic-ctl-play.1`, and so on.
///
/// # Errors
/// Those of writing.
pub fn write(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)?;
    let mut page = File::options().append(true).open(dir.join("p2pmusic.1"))?;
    page.write_all(NOT_ON_THE_COMMAND_LINE.as_bytes())
}

/// Behind what is made of the command line, in the page of the whole.
const NOT_ON_THE_COMMAND_LINE: &str = r".SH FILES
.TP
\fI/etc/p2pmusic.toml\fR
The configuration; every key is explained in it. It is read at the start and on SIGHUP.
.TP
\fI/etc/p2pmusic.key\fR
The key of the swarm, where the configuration names it.
.TP
\fI/var/lib/p2pmusic\fR
Identity, index of the own music, queue, volume, and where in its music the speaker is.
.TP
\fI/var/cache/p2pmusic\fR
Tracks of other speakers. It may be removed.
.TP
\fI/run/p2pmusic/ctl.sock\fR
The control socket, which speaks the protocol of MPD.
.SH EXIT STATUS
0 when all went well, 1 when something did not, 2 when the command line is wrong, 78 when
the configuration is.
.SH SEE ALSO
.BR p2pmusic\-run (1),
.BR p2pmusic\-ctl (1),
.BR mpc (1),
.BR systemctl (1)
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let page = |name: &str| fs::read_to_string(dir.path().join(name));
        let whole = page("p2pmusic.1").unwrap();
        assert!(whole.contains(".SH FILES"), "{whole}");
        // The pages that it refers to are there.
        for command in [
            "run", "ctl", "check", "doctor", "keygen", "identity", "demo",
        ] {
            assert!(
                whole.contains(&format!("p2pmusic\\-{command}(1)")),
                "{command}: {whole}"
            );
            page(&format!("p2pmusic-{command}.1")).unwrap();
        }
        assert!(page("p2pmusic-ctl-seek.1").unwrap().contains("50%"));
        assert!(page("p2pmusic-manual.1").is_err(), "it is hidden");
    }
}
