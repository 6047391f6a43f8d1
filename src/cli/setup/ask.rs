//! Questions to a person, each with an answer that counts unless another is given.

use std::io::{self, BufRead as _, Write as _};

/// Asks, or takes every default.
#[derive(Clone, Copy)]
pub struct Questioner {
    /// Nobody is asked.
    pub takes_defaults: bool,
}

impl Questioner {
    /// A line; an empty one is `default`.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn text(self, question: &str, default: &str) -> io::Result<String> {
        if self.takes_defaults {
            return Ok(default.to_owned());
        }
        let answer = line(&format!("{question} [{default}]: "))?;
        Ok(match answer.is_empty() {
            true => default.to_owned(),
            false => answer,
        })
    }

    /// Yes or no; `default` where nobody is asked.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn is_wanted(self, question: &str, default: bool) -> io::Result<bool> {
        if self.takes_defaults {
            return Ok(default);
        }
        let choice = if default { "Y/n" } else { "y/N" };
        loop {
            let answer = line(&format!("{question} [{choice}] "))?;
            match answer.to_lowercase().as_str() {
                "" => return Ok(default),
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => say!("Please answer y or n."),
            }
        }
    }
}

fn line(question: &str) -> io::Result<String> {
    crate::cli::say::out(format_args!("{question}"));
    io::stdout().flush()?;
    let mut answer = String::new();
    if io::stdin().lock().read_line(&mut answer)? == 0 {
        say!();
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "nobody answers; `--yes` takes what is in brackets",
        ));
    }
    Ok(answer.trim().to_owned())
}
