//! An embedded API in a process of its own, for what can be told of a whole process only.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use subm_apiserver::{ApiServer, Authority, Credential, kubeconfig};
use subm_kube::Access;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::TOKEN;
use super::load::{count_lines, object, watch};

/// What the process is told.
#[derive(Args)]
pub(crate) struct Serve {
    /// So many objects are in the server before it says that it is ready.
    #[arg(long)]
    objects: u32,
    /// Where the administrator's kubeconfig goes.
    #[arg(long)]
    kubeconfig: PathBuf,
}

impl Serve {
    /// Serves until its standard input ends.
    pub(crate) fn run(&self) -> Result<()> {
        let runtime = Runtime::new()?;
        let server = ApiServer::builder().credentials([Credential::admin(TOKEN)]).build();
        for number in 0..self.objects {
            server.store().create(object(&format!("m{number}"), number))?;
        }
        let authority = Authority::new("bench")?;
        let tls = authority.server_certificate(&["127.0.0.1"])?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let url = format!("https://{}", listener.local_addr()?);
        std::fs::write(&self.kubeconfig, kubeconfig(&url, &authority.pem(), TOKEN, "bench"))?;
        runtime.spawn(async move { server.serve(listener, tls).await });
        let mut out = std::io::stdout();
        writeln!(out, "ready")?;
        out.flush()?;
        std::io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    }
}

/// The running process; it ends with this.
pub(super) struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts one that holds so many objects, and waits until it has them.
    pub(super) fn start(objects: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(env::current_exe()?);
        command.args(["api-server", "--objects", &objects.to_string(), "--kubeconfig"]);
        command.arg(folder.path().join("kubeconfig")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start an API server")?;
        let said = child.stdout.take().context("its standard output is piped")?;
        let process = Self { child, folder };
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        ensure!(line == "ready\n", "the API server ended before it was ready");
        Ok(process)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Opens so many watches.
    pub(super) fn watch(&self, watches: usize) -> Result<Watches> {
        let runtime = Runtime::new()?;
        let running = runtime.block_on(async {
            let access = Access::kubeconfig(&self.folder.path().join("kubeconfig"), "default").await?;
            let client = access.connect()?.client;
            let mut running = JoinSet::new();
            for _ in 0..watches {
                let stream = watch(&client).await?;
                running.spawn_on(count_lines(stream, Arc::default()), runtime.handle());
            }
            anyhow::Ok(running)
        })?;
        Ok(Watches { running, wanted: watches, _runtime: runtime })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its standard input ends with it anyway.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Watches that run until they are dropped.
pub(super) struct Watches {
    running: JoinSet<Result<()>>,
    wanted: usize,
    _runtime: Runtime,
}

impl Watches {
    /// Fails where one has ended.
    pub(super) fn all_run(mut self) -> Result<()> {
        if let Some(ended) = self.running.try_join_next() {
            ended??;
        }
        ensure!(self.running.len() == self.wanted, "{} of {} watches run", self.running.len(), self.wanted);
        Ok(())
    }
}
