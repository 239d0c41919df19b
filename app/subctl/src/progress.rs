//! What is going on, for the person in front of the terminal: always on stderr.

use std::io::{IsTerminal, Write, stderr};

/// Writes what is going on, in colour where a terminal shows it.
#[derive(Debug)]
pub(crate) struct Progress {
    colour: bool,
}

impl Progress {
    pub(crate) fn to_stderr() -> Self {
        let smart = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        Self { colour: smart && stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    pub(crate) fn done(&self, what: &str) {
        self.symbol("✓", "32", what);
    }

    pub(crate) fn warning(&self, what: &str) {
        self.symbol("⚠", "33", what);
    }

    pub(crate) fn failed(&self, what: &str) {
        self.symbol("✗", "31", what);
    }

    fn symbol(&self, symbol: &str, colour: &str, what: &str) {
        if self.colour {
            self.line(&format!(" \x1b[{colour}m{symbol}\x1b[0m {what}"));
        } else {
            self.line(&format!(" {symbol} {what}"));
        }
    }

    #[expect(clippy::unused_self, reason = "whoever may write has a Progress")]
    pub(crate) fn line(&self, text: &str) {
        let _nobody_reads_it = writeln!(stderr(), "{text}");
    }
}

/// An error with its causes, each said once: many libraries repeat the cause in their own words.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !text.contains(&cause) {
            let joint = if text.is_empty() { "" } else { ": " };
            text.extend([joint, &cause]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_cause_that_was_told_already_is_not_told_again() {
        let error =
            anyhow::anyhow!("no such file").context("cannot read a: no such file").context("no kubeconfig");
        assert_eq!(super::told(&error), "no kubeconfig: cannot read a: no such file");
    }
}
