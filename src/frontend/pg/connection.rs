//! One client's loop: a message, its answer, the next message.
//!
//! After an error in the extended protocol everything up to Sync is skipped.
//! The loop ends with the client, with an error that leaves the stream out of
//! step, or with 57P01 between two statements once the server ends.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::Server;
use super::cancel::Registration;
use super::error::{Stop, put_error, put_notice};
use super::frame::put_message;
use super::named::Named;
use super::portal::Portal;
use super::prepared::Prepared;
use super::wire::{Frame, Wire, protocol_fatal};
use crate::error::{Error, SqlState};
use crate::session::{Canceller, Session, TransactionStatus};

pub(super) struct Connection {
    pub(super) wire: Wire,
    pub(super) session: Session,
    pub(super) registration: Registration,
    pub(super) statements: Named<Arc<Prepared>>,
    pub(super) portals: Named<Portal>,
    /// Reused for values on their way out.
    pub(super) scratch: String,
    /// The session is in an implicit transaction of ours, until Sync.
    pub(super) implicit: bool,
    /// An error has been told: the rest of the pipeline is skipped.
    skipping: bool,
    shutdown: CancellationToken,
    /// Registered once: polling it again costs little.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(
        server: &Server,
        mut wire: Wire,
        session: Session,
        permit: OwnedSemaphorePermit,
        long_keys: bool,
    ) -> Connection {
        wire.open();
        Connection {
            registration: server.cancels.register(session.canceller(), long_keys),
            wire,
            session,
            statements: Named::default(),
            portals: Named::default(),
            scratch: String::new(),
            implicit: false,
            skipping: false,
            ended: Box::pin(server.shutdown.clone().cancelled_owned()),
            shutdown: server.shutdown.clone(),
            _permit: permit,
        }
    }

    /// Serves the client to its end.
    pub(super) async fn run(mut self) {
        let may_send_more = match self.messages().await {
            Ok(()) => true,
            Err(Stop::Gone(error)) => {
                tracing::debug!(%error, "client left");
                false
            }
            Err(Stop::Fatal(error) | Stop::Statement(error)) => {
                tracing::debug!(%error, "connection ended");
                put_error(&mut self.wire.out, "FATAL", &error);
                error.state() != SqlState::ADMIN_SHUTDOWN
            }
        };
        // The client may be gone by now; there is nobody else to tell.
        let closed = self.wire.close().await;
        self.session.close().await;
        if may_send_more && closed.is_ok() {
            self.wire.linger().await;
        }
    }

    async fn messages(&mut self) -> Result<(), Stop> {
        loop {
            let frame = match self.wire.buffered()? {
                Some(frame) => frame,
                None => self.awaited_frame().await?,
            };
            if frame.tag == b'X' {
                return Ok(());
            }
            self.message(frame).await?;
        }
    }

    /// The next message, when all before it are done.
    async fn awaited_frame(&mut self) -> Result<Frame, Stop> {
        self.session.set_idle(true);
        let frame = match self.session.idle_limit() {
            None => self.next_frame().await?,
            Some(limit) => match tokio::time::timeout(limit, self.next_frame()).await {
                Ok(frame) => frame?,
                Err(_) => return Err(Stop::Fatal(self.session.idle_error())),
            },
        };
        self.session.set_idle(false);
        Ok(frame)
    }

    /// The next message; 57P01 when the server ends before it comes.
    pub(super) async fn next_frame(&mut self) -> Result<Frame, Stop> {
        loop {
            if let Some(frame) = self.wire.buffered()? {
                return Ok(frame);
            }
            tokio::select! {
                biased;
                filled = self.wire.fill() => filled?,
                () = &mut self.ended => return Err(shut_down()),
            }
        }
    }

    async fn message(&mut self, frame: Frame) -> Result<(), Stop> {
        if self.skipping && frame.tag != b'S' {
            return Ok(());
        }
        let done = match frame.tag {
            b'Q' => return self.query(&frame.body).await,
            b'S' => return self.sync().await,
            b'F' => return self.function_call().await,
            b'P' => self.parse(&frame.body),
            b'B' => self.bind(&frame.body),
            b'D' => self.describe(&frame.body),
            b'E' => self.execute(&frame.body).await,
            b'C' => self.close(&frame.body),
            b'H' => self.wire.flush().await,
            // The rest of a COPY that has failed.
            b'd' | b'c' | b'f' => Ok(()),
            other => Err(protocol_fatal(format!(
                "invalid frontend message type {other}"
            ))),
        };
        match done {
            Err(Stop::Statement(error)) => {
                self.skipping = true;
                self.fail(&error);
                self.wire.flush().await
            }
            done => done,
        }
    }

    /// Ends a pipeline: commits its implicit transaction, says what state holds.
    async fn sync(&mut self) -> Result<(), Stop> {
        self.skipping = false;
        if let Err(error) = self.end_implicit().await {
            self.fail(&error);
        }
        if self.session.status() == TransactionStatus::Idle {
            self.portals.clear();
        }
        self.ready().await
    }

    /// Ends the implicit transaction, if one is open.
    pub(super) async fn end_implicit(&mut self) -> Result<(), Error> {
        self.implicit = false;
        let canceller = self.session.canceller();
        attended(&mut self.wire, &canceller, self.session.sync()).await
    }

    async fn function_call(&mut self) -> Result<(), Stop> {
        self.fail(&Error::unsupported("function call over the fast path"));
        self.ready().await
    }

    /// Tells an error of the running statement; the transaction has failed.
    pub(super) fn fail(&mut self, error: &Error) {
        self.session.fail();
        self.session.forget_cancel();
        self.put_notices();
        put_error(&mut self.wire.out, "ERROR", error);
    }

    /// Appends the notices that have gathered.
    pub(super) fn put_notices(&mut self) {
        for notice in self.session.take_notices() {
            put_notice(&mut self.wire.out, &notice);
        }
    }

    /// Appends ParameterStatus for each reported setting that has changed.
    pub(super) fn put_reports(&mut self) {
        for (name, value) in self.session.take_reports() {
            put_message(&mut self.wire.out, b'S', |out| {
                super::frame::put_string(out, &name);
                super::frame::put_string(out, &value);
            });
        }
    }

    /// Says that the next statement may come, and sends all that waits.
    pub(super) async fn ready(&mut self) -> Result<(), Stop> {
        self.put_reports();
        let status = match self.session.status() {
            TransactionStatus::Idle => b'I',
            TransactionStatus::InTransaction => b'T',
            TransactionStatus::Failed => b'E',
        };
        self.wire.out.extend_from_slice(&[b'Z', 0, 0, 0, 5, status]);
        self.wire.flush().await?;
        self.wire.shrink();
        if self.shutdown.is_cancelled() {
            return Err(shut_down());
        }
        Ok(())
    }
}

/// Waits for `work` while watching the client, and keeps what it sends
/// meanwhile. If the client goes without a word the work is cancelled: nobody
/// waits for it. One that has sent Terminate, or more to do, wants it done.
pub(super) async fn attended<T>(
    wire: &mut Wire,
    canceller: &Canceller,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let mut gone = false;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            read = wire.fill(), if !gone && wire.has_room() => {
                if read.is_err() {
                    gone = true;
                    if wire.is_empty() {
                        canceller.cancel();
                    }
                }
            }
        }
    }
}

fn shut_down() -> Stop {
    Stop::Fatal(Error::new(
        SqlState::ADMIN_SHUTDOWN,
        "terminating connection due to administrator command",
    ))
}
