//! Plays one order on one server and writes down what happened.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, NoTls, SimpleQueryMessage};

use super::postgres::Postgres;
use super::spec::Case;
use crate::cluster::Sandbox;

/// How long setting up and cleaning up may take before the test gives up.
const QUIET_MAX: Duration = Duration::from_secs(20);

/// A server to play on, in a database of one worker's own.
pub(super) struct Server {
    config: Config,
}

impl Server {
    pub(super) async fn ours(sandbox: &Sandbox, database: &str) -> Server {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(sandbox.pg)
            .user("demo")
            .password("demo1234");
        Server::with(config, "company", database).await
    }

    pub(super) async fn postgres(postgres: &Postgres, database: &str) -> Server {
        let mut config = Config::new();
        config.host("127.0.0.1").port(postgres.port).user("test");
        Server::with(config, "postgres", database).await
    }

    async fn with(mut config: Config, first: &str, database: &str) -> Server {
        config.dbname(first);
        let mut admin = connect(&config).await;
        admin.sql(&format!("CREATE DATABASE {database}")).await;
        config.dbname(database);
        Server { config }
    }
}

/// What happened after each step, and the state in the end.
#[derive(Debug, PartialEq)]
pub(super) struct Transcript {
    rounds: Vec<Round>,
}

#[derive(Debug, PartialEq)]
struct Round {
    step: String,
    /// What steps answered, this one or others that it set free.
    answers: BTreeMap<String, String>,
    blocked: BTreeSet<String>,
}

impl Transcript {
    pub(super) fn first_difference(&self, other: &Transcript) -> Option<usize> {
        self.rounds
            .iter()
            .zip(&other.rounds)
            .position(|(a, b)| a != b)
    }

    /// Does a step have this outcome in a round? `blocked` is one too.
    pub(super) fn shows_at(&self, place: usize, step: &str, outcome: &str) -> bool {
        let round = &self.rounds[place];
        let this = |name: &String| step == "*" || name == step;
        match outcome {
            "blocked" => round.blocked.iter().any(this),
            _ => round
                .answers
                .iter()
                .any(|(name, answer)| this(name) && answer == outcome),
        }
    }

    /// Does a step have this outcome in a round or later?
    pub(super) fn shows(&self, place: usize, step: &str, outcome: &str) -> bool {
        (place..self.rounds.len()).any(|place| self.shows_at(place, step, outcome))
    }

    /// The rounds up to a place, to be read.
    pub(super) fn text(&self, upto: usize) -> String {
        let mut out = String::new();
        for round in self.rounds.iter().take(upto + 1) {
            let _ = write!(out, "    {}:", round.step);
            for (name, answer) in &round.answers {
                let _ = write!(out, " {name} → {answer};");
            }
            for name in &round.blocked {
                let _ = write!(out, " {name} blocked;");
            }
            out.push('\n');
        }
        out
    }
}

/// A server with its sessions, which stay from one play to the next.
pub(super) struct Stage {
    server: Server,
    admin: Option<Connected>,
    sessions: BTreeMap<String, Session>,
}

/// One client, worked by a task of its own.
struct Session {
    queue: mpsc::UnboundedSender<Message>,
    cancel: CancelToken,
    /// Steps sent and not answered.
    waiting: VecDeque<String>,
}

struct Message {
    step: String,
    text: String,
    answers: mpsc::UnboundedSender<(String, String, String)>,
    session: String,
}

impl Stage {
    pub(super) fn new(server: Server) -> Stage {
        Stage {
            server,
            admin: None,
            sessions: BTreeMap::new(),
        }
    }

    pub(super) async fn play(&mut self, case: &Case, patience: Duration) -> Transcript {
        self.prepare(case).await;
        let (sender, mut answers) = mpsc::unbounded_channel();
        let mut rounds = Vec::new();
        for step in &case.order {
            let (session, text) = case.step(step);
            let mut round = self.round(step, patience);
            if let Some(target) = text.strip_prefix("@cancel ") {
                let _ = self.sessions[target].cancel.cancel_query(NoTls).await;
            } else if let Some(time) = text.strip_prefix("@sleep ") {
                let time = Duration::from_millis(time.parse().expect("milliseconds"));
                tokio::time::sleep(time).await;
            } else if text == "@disconnect" {
                self.sessions.remove(session);
            } else {
                let own = self.sessions.get_mut(session).expect("was prepared");
                own.waiting.push_back(step.clone());
                let answers = sender.clone();
                let (step, session) = (step.clone(), session.to_owned());
                let _ = own.queue.send(Message {
                    step,
                    text,
                    answers,
                    session,
                });
            }
            self.gather(&mut round, &mut answers, patience).await;
            rounds.push(round);
        }
        rounds.push(self.finish(case, patience).await);
        Transcript { rounds }
    }

    fn round(&self, step: &str, _patience: Duration) -> Round {
        Round {
            step: step.to_owned(),
            answers: BTreeMap::new(),
            blocked: BTreeSet::new(),
        }
    }

    /// Waits until every session has answered or been silent for long enough.
    async fn gather(
        &mut self,
        round: &mut Round,
        answers: &mut mpsc::UnboundedReceiver<(String, String, String)>,
        patience: Duration,
    ) {
        while self
            .sessions
            .values()
            .any(|session| !session.waiting.is_empty())
        {
            let answer = tokio::time::timeout(patience, answers.recv());
            let Ok(Some((session, step, answer))) = answer.await else {
                break;
            };
            if let Some(session) = self.sessions.get_mut(&session) {
                session.waiting.pop_front();
            }
            round.answers.insert(step, answer);
        }
        // Only the first waits on the server; the others wait for it.
        let blocked = self
            .sessions
            .values()
            .filter_map(|session| session.waiting.front());
        round.blocked = blocked.cloned().collect();
    }

    /// A connection beside the sessions'; put back after use.
    async fn admin(&mut self) -> Connected {
        match self.admin.take() {
            Some(admin) => admin,
            None => connect(&self.server.config).await,
        }
    }

    /// Makes the tables and sees that every session is there.
    async fn prepare(&mut self, case: &Case) {
        let mut admin = self.admin().await;
        for statement in &case.spec.setup {
            let answer = admin.sql(statement).await;
            assert!(
                !answer.starts_with("error"),
                "{}: {statement}: {answer}",
                case.spec.name
            );
        }
        self.admin = Some(admin);
        for name in case.spec.sessions.keys() {
            if !self.sessions.contains_key(name) {
                let client = connect(&self.server.config).await;
                self.sessions.insert(name.clone(), Session::start(client));
            }
        }
    }

    /// Ends what is open and looks at what is left.
    async fn finish(&mut self, case: &Case, patience: Duration) -> Round {
        let mut round = self.round("in the end", patience);
        for session in self.sessions.values() {
            if !session.waiting.is_empty() {
                let _ = session.cancel.cancel_query(NoTls).await;
            }
        }
        for (name, session) in std::mem::take(&mut self.sessions) {
            if session.is_reset().await {
                self.sessions.insert(name, session);
            }
        }
        let mut admin = self.admin().await;
        for (number, statement) in case.spec.check.iter().enumerate() {
            let answer = admin.sql(statement).await;
            round
                .answers
                .insert(format!("check {}", number + 1), answer);
        }
        for table in case.spec.tables() {
            admin.sql(&format!("DROP TABLE IF EXISTS {table}")).await;
        }
        self.admin = Some(admin);
        round
    }
}

impl Session {
    fn start(mut client: Connected) -> Session {
        let (queue, mut messages) = mpsc::unbounded_channel::<Message>();
        let cancel = client.client.cancel_token();
        #[allow(clippy::disallowed_methods)] // ends with its queue
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let answer = client.sql(&message.text).await;
                let _ = message
                    .answers
                    .send((message.session, message.step, answer));
            }
        });
        Session {
            queue,
            cancel,
            waiting: VecDeque::new(),
        }
    }

    /// As new again for the next play; `false` when it is gone.
    async fn is_reset(&self) -> bool {
        let (sender, mut answers) = mpsc::unbounded_channel();
        for text in ["ROLLBACK", "DISCARD ALL"] {
            let (step, session) = (text.to_owned(), String::new());
            let (text, answers) = (text.to_owned(), sender.clone());
            let _ = self.queue.send(Message {
                step,
                text,
                answers,
                session,
            });
        }
        drop(sender);
        let mut last = String::new();
        while let Ok(Some((_, _, answer))) = tokio::time::timeout(QUIET_MAX, answers.recv()).await {
            last = answer;
        }
        last.starts_with("ok")
    }
}

/// A client and the warnings that came for it.
struct Connected {
    client: Client,
    notices: mpsc::UnboundedReceiver<String>,
}

async fn connect(config: &Config) -> Connected {
    let (client, mut connection) = config.connect(NoTls).await.expect("the server takes us");
    let (sender, notices) = mpsc::unbounded_channel();
    #[allow(clippy::disallowed_methods)] // ends with its client
    tokio::spawn(async move {
        let mut messages =
            futures::stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notice(notice) = message
                && notice.severity() == "WARNING"
            {
                let _ = sender.send(notice.code().code().to_owned());
            }
        }
    });
    Connected { client, notices }
}

impl Connected {
    /// Runs a string of statements; rows, counts or the error, as one line.
    async fn sql(&mut self, text: &str) -> String {
        let mut out = String::new();
        match self.client.simple_query(text).await {
            Ok(messages) => write_messages(&messages, &mut out),
            Err(error) => {
                let code = error.code().map_or("connection", |code| code.code());
                let _ = write!(out, "error {code}");
            }
        }
        while let Ok(warning) = self.notices.try_recv() {
            let _ = write!(out, " warning {warning}");
        }
        out
    }
}

fn write_messages(messages: &[SimpleQueryMessage], out: &mut String) {
    let mut rows = Vec::new();
    let mut described = false;
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(_) => described = true,
            SimpleQueryMessage::Row(row) => {
                let values = (0..row.len()).map(|place| row.get(place).unwrap_or("null"));
                rows.push(values.collect::<Vec<_>>().join("|"));
            }
            SimpleQueryMessage::CommandComplete(count) => {
                let separator = if out.is_empty() { "" } else { ", " };
                let _ = match std::mem::take(&mut described) {
                    true => write!(out, "{separator}rows [{}]", rows.join(" ")),
                    false => write!(out, "{separator}ok {count}"),
                };
                rows.clear();
            }
            _ => {}
        }
    }
}
