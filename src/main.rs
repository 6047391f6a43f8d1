//! The program; everything that it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    p2pmusic::main()
}
