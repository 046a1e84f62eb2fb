//! Stands between a client and nats-server, and cuts the client off once, right before it says
//! something that a test has chosen by its number.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is closed.
    Drop,
    /// Nothing goes through it any more, in either direction.
    Freeze,
}

struct Plan {
    /// After the server has said this, the client's words are counted.
    mark: &'static [u8],
    /// How many of them go through.
    after: usize,
    how: How,
    is_armed: AtomicBool,
    count: AtomicUsize,
    has_cut: watch::Sender<bool>,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// A running proxy, until it is dropped.
pub struct Proxy {
    url: String,
    plan: Arc<Plan>,
}

impl Proxy {
    /// One to the server at `url`.
    pub async fn new(url: &str, mark: &'static [u8], after: usize, how: How) -> Self {
        let server: SocketAddr = url.rsplit('/').next().expect("a host").parse().expect("one");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("nats://{}", listener.local_addr().expect("bound"));
        let plan = Arc::new(Plan {
            mark,
            after,
            how,
            is_armed: AtomicBool::new(false),
            count: AtomicUsize::new(0),
            has_cut: watch::Sender::new(false),
            tasks: Mutex::default(),
        });
        let own = Arc::clone(&plan);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else { continue };
                let task = tokio::spawn(own.clone().carry(client, server));
                own.tasks.lock().expect("whole").push(task.abort_handle());
            }
        });
        plan.tasks.lock().expect("whole").push(accepting.abort_handle());
        Self { url, plan }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits until it has cut.
    pub async fn cut(&self) {
        let mut has_cut = self.plan.has_cut.subscribe();
        let _ = has_cut.wait_for(|has_cut| *has_cut).await;
    }

    /// Whether it has cut.
    pub fn has_cut(&self) -> bool {
        *self.plan.has_cut.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.plan.tasks.lock().expect("whole").iter().for_each(AbortHandle::abort);
    }
}

impl Plan {
    async fn carry(self: Arc<Self>, client: TcpStream, server: TcpStream) {
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // Set if this connection is frozen: then neither direction ends.
        let cut = watch::Sender::new(false);
        tokio::select! {
            () = self.down(from_server, to_client, &cut) => {}
            () = self.up(from_client, to_server, &cut) => {}
        }
    }

    async fn down(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        cut: &watch::Sender<bool>,
    ) {
        let (mut piece, mut tail) = (vec![0; 16 * 1024], Vec::new());
        let mut cut = cut.subscribe();
        loop {
            let frozen = async { drop(cut.wait_for(|cut| *cut).await) };
            let read = tokio::select! {
                read = from.read(&mut piece) => Some(read),
                () = frozen => None,
            };
            let Some(read) = read else { return std::future::pending().await };
            let Ok(length @ 1..) = read else { return };
            tail.extend_from_slice(&piece[..length]);
            if tail.windows(self.mark.len()).any(|part| part == self.mark) {
                self.is_armed.store(true, Ordering::SeqCst);
            }
            tail.drain(..tail.len().saturating_sub(self.mark.len()));
            if to.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    }

    async fn up(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        cut: &watch::Sender<bool>,
    ) {
        let mut piece = vec![0; 16 * 1024];
        loop {
            let Ok(length @ 1..) = from.read(&mut piece).await else { return };
            if self.is_armed.load(Ordering::SeqCst) && !*self.has_cut.borrow() {
                let count = self.count.fetch_add(1, Ordering::SeqCst);
                if count == self.after {
                    cut.send_replace(self.how == How::Freeze);
                    self.has_cut.send_replace(true);
                    match self.how {
                        How::Drop => return,
                        How::Freeze => std::future::pending().await,
                    }
                }
            }
            if to.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    }
}
