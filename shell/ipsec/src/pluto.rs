//! The daemon: started, asked, told.

use std::path::Path;
use std::time::{Duration, Instant};

use subm_plan::ipsec::{FoundDaemon, IpsecRole, IpsecStep, parse_status};
use subm_types::IkeSecret;
use tracing::info;

use crate::arguments::{self, Dialect};
use crate::programs::{Program, Said};
use crate::{IpsecError, Places};

/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a start may take: the daemon tests its ciphers first.
const STARTING: Duration = Duration::from_mins(1);
const GLANCE: Duration = Duration::from_millis(20);

/// The daemon of these places.
#[derive(Debug)]
pub(crate) struct Pluto {
    places: Places,
    debug: bool,
    /// The secret that the running daemon was given by this process, and since when that daemon runs.
    loaded: Option<(IkeSecret, Option<i64>)>,
    dialect: Dialect,
}

impl Pluto {
    pub(crate) const fn new(places: Places, debug: bool) -> Self {
        Self { places, debug, loaded: None, dialect: Dialect::Five }
    }

    pub(crate) const fn places(&self) -> &Places {
        &self.places
    }

    /// The secret that the running daemon has from us.
    pub(crate) fn secret(&self) -> Option<IkeSecret> {
        let (secret, since) = self.loaded.as_ref()?;
        (*since == self.places.since()).then(|| secret.clone())
    }

    /// What the daemon tells of itself; `None` if there is none.
    pub(crate) fn status(&mut self) -> Result<Option<FoundDaemon>, IpsecError> {
        if !self.places.is_served() {
            return Ok(None);
        }
        let said = self.whack(&["--status".to_owned()])?;
        if !said.success {
            return Err(IpsecError::Failed { program: "whack --status", said: said.short() });
        }
        let found = parse_status(&said.output);
        self.dialect = Dialect::of(found.version);
        Ok(Some(found))
    }

    /// Takes a step.
    pub(crate) fn take(&mut self, step: &IpsecStep) -> Result<(), IpsecError> {
        match step {
            IpsecStep::Start => self.start(),
            IpsecStep::LoadSecret(secret) => {
                self.places.write_secret(Some(secret))?;
                self.tell("whack --rereadsecrets", &["--rereadsecrets".to_owned()])?;
                self.loaded = Some((secret.clone(), self.places.since()));
                Ok(())
            }
            IpsecStep::Listen => self.tell("whack --listen", &["--listen".to_owned()]),
            IpsecStep::Delete(name) => {
                let call = ["--delete", "--name", name].map(str::to_owned);
                self.tell("whack --delete", &call)
            }
            IpsecStep::Add(name, connection) => {
                self.tell("whack --name", &arguments::add(name, connection, self.dialect))?;
                self.initiate(name, connection.role)
            }
            IpsecStep::Initiate(name) => self.initiate(name, IpsecRole::Peer),
        }
    }

    fn initiate(&self, name: &subm_plan::ipsec::ConnectionName, role: IpsecRole) -> Result<(), IpsecError> {
        for call in arguments::initiate(name, role, self.dialect) {
            self.tell("whack --initiate", &call)?;
        }
        Ok(())
    }

    /// Ends the daemon, which takes its associations along.
    pub(crate) fn shut_down(&mut self) -> Result<(), IpsecError> {
        self.loaded = None;
        if self.places.is_served() {
            self.tell("whack --shutdown", &["--shutdown".to_owned()])?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), IpsecError> {
        let pluto = Program::find("pluto")?;
        self.loaded = None;
        self.places.prepare(self.debug)?;
        self.places.write_secret(None)?;
        self.make_database()?;
        let path = |path: &Path| path.display().to_string();
        let places = &self.places;
        let arguments = [
            "--config".to_owned(),
            path(&places.configuration()),
            "--rundir".to_owned(),
            path(places.directory()),
            "--nssdir".to_owned(),
            path(&places.database()),
            "--secretsfile".to_owned(),
            path(&places.secrets()),
            "--ipsecdir".to_owned(),
            path(&places.policies()),
            "--logfile".to_owned(),
            path(&places.log()),
        ];
        pluto.launch(&arguments, &places.log(), STARTING)?;
        let end = Instant::now() + STARTING;
        while !places.is_served() {
            if Instant::now() > end {
                return Err(IpsecError::NoAnswer { socket: places.socket(), log: places.log() });
            }
            std::thread::sleep(GLANCE);
        }
        info!(directory = %places.directory().display(), "pluto was started");
        Ok(())
    }

    /// The daemon does not start without a database of keys and certificates, be it empty.
    fn make_database(&self) -> Result<(), IpsecError> {
        let database = self.places.database();
        if database.join("cert9.db").is_file() {
            return Ok(());
        }
        let place = format!("sql:{}", database.display());
        let said = Program::find("certutil")?.run(&["-N", "-d", &place, "--empty-password"], STARTING)?;
        if said.success {
            return Ok(());
        }
        Err(IpsecError::Failed { program: "certutil -N", said: said.short() })
    }

    fn whack(&self, call: &[String]) -> Result<Said, IpsecError> {
        let socket = ["--ctlsocket".to_owned(), self.places.socket().display().to_string()];
        Program::find("whack")?.run(&[&socket, call].concat(), PATIENCE)
    }

    fn tell(&self, program: &'static str, call: &[String]) -> Result<(), IpsecError> {
        let said = self.whack(call)?;
        if said.success { Ok(()) } else { Err(IpsecError::Failed { program, said: said.short() }) }
    }
}
