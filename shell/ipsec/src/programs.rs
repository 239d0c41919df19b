//! Programs of libreswan: found, run with a limit, their words kept.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::IpsecError;

/// Where distributions put them.
const DIRECTORIES: [&str; 7] = [
    "/usr/libexec/ipsec",
    "/usr/lib/ipsec",
    "/usr/local/libexec/ipsec",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
const GLANCE: Duration = Duration::from_millis(2);
/// As much of what a program says is told on.
const SAID: usize = 400;

/// A program with the name that errors give it.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    name: &'static str,
    path: PathBuf,
}

/// What a program said, and whether it was content.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Said {
    /// In one line.
    pub(crate) fn short(&self) -> String {
        let text = format!("{} {}", self.errors, self.output);
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").chars().take(SAID).collect()
    }
}

impl Program {
    pub(crate) fn find(name: &'static str) -> Result<Self, IpsecError> {
        let mut places = DIRECTORIES.iter().map(|directory| Path::new(directory).join(name));
        let path = places.find(|path| path.is_file()).ok_or(IpsecError::NoProgram(name))?;
        Ok(Self { name, path })
    }

    /// Nothing of our environment goes along: it may hold secrets.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.env_clear().env("PATH", DIRECTORIES.join(":")).stdin(Stdio::null()).current_dir("/");
        command
    }

    fn failed(&self, source: std::io::Error) -> IpsecError {
        IpsecError::Run { program: self.name, source }
    }

    /// Runs it and returns what it said.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S], limit: Duration) -> Result<Said, IpsecError> {
        let mut command = self.command();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| self.failed(source))?;
        let output = listen(child.stdout.take());
        let errors = listen(child.stderr.take());
        let success = self.wait(child, limit)?;
        let text = |listener: Option<std::thread::JoinHandle<String>>| {
            listener.and_then(|listener| listener.join().ok()).unwrap_or_default()
        };
        Ok(Said { success, output: text(output), errors: text(errors) })
    }

    /// Runs it until it ends or has put itself into the background, where it may stay as long as it likes.
    pub(crate) fn launch<S: AsRef<OsStr>>(
        &self,
        arguments: &[S],
        log: &Path,
        limit: Duration,
    ) -> Result<(), IpsecError> {
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.map_err(|source| IpsecError::File { path: log.to_path_buf(), source })?;
        let copy = file.try_clone().map_err(|source| self.failed(source))?;
        let mut command = self.command();
        let child = command.args(arguments).stdout(file).stderr(copy).spawn();
        if self.wait(child.map_err(|source| self.failed(source))?, limit)? {
            return Ok(());
        }
        let said = format!("see {}: {}", log.display(), last_line(log));
        Err(IpsecError::Failed { program: self.name, said })
    }

    fn wait(&self, mut child: Child, limit: Duration) -> Result<bool, IpsecError> {
        let end = Instant::now() + limit;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status.success()),
                Ok(None) if Instant::now() < end => std::thread::sleep(GLANCE),
                Ok(None) => break,
                Err(source) => return Err(self.failed(source)),
            }
        }
        // A program that has just ended cannot be killed, and need not be.
        drop(child.kill());
        drop(child.wait());
        Err(IpsecError::Timeout { program: self.name, limit })
    }
}

fn listen<R: Read + Send + 'static>(source: Option<R>) -> Option<std::thread::JoinHandle<String>> {
    let mut source = source?;
    Some(std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until then is what was said.
        drop(source.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }))
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().last().unwrap_or_default().chars().take(SAID).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Program {
        Program { name: "sh", path: PathBuf::from("/bin/sh") }
    }

    #[test]
    fn what_a_program_says_is_told_and_nothing_of_our_environment_goes_along() {
        let said = shell()
            .run(&["-c", "echo one; env | grep -c ^HOME; echo two >&2; exit 3"], Duration::from_secs(30));
        let said = said.unwrap();
        assert_eq!((said.success, said.output.as_str(), said.errors.as_str()), (false, "one\n0\n", "two\n"));
        assert_eq!(said.short(), "two one 0");
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let hung = shell().run(&["-c", "exec sleep 600"], Duration::from_millis(50));
        assert!(matches!(hung, Err(IpsecError::Timeout { program: "sh", .. })), "{hung:?}");
    }

    #[test]
    fn a_program_that_is_not_here_is_named_with_the_remedy() {
        let error = Program::find("pluto-of-nowhere").unwrap_err().to_string();
        assert!(error.contains("pluto-of-nowhere") && error.contains("install"), "{error}");
    }
}
