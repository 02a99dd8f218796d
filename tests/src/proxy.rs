//! A network between a server and its database that does what networks do: cuts, keeps back, is
//! slow, closes one way only, and loses the answer to what was done.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// What happens to what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It arrives.
    Fair,
    /// Nobody can connect.
    Refuses,
    /// It is kept back, both ways, and arrives later. Nobody is told, and connections stay.
    Silent,
    /// What is asked arrives, and no answer does: whether it was done is not known.
    LosesAnswers,
    /// Each piece takes so long.
    Slow(Duration),
}

/// What becomes of the connections that are there, counted so that each cut is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    number: u64,
    /// Whoever asks is told that no answer comes any more, and whoever answers is not.
    is_half: bool,
}

/// A proxy before a port of this machine. It ends when it is dropped, and every connection with it.
pub struct Proxy {
    port: u16,
    mood: watch::Sender<Mood>,
    cut: watch::Sender<Cut>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before this port.
    pub async fn before(behind: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (mood, moods) = watch::channel(Mood::Fair);
        let (cut, cuts) = watch::channel(Cut { number: 0, is_half: false });
        let accepting = tokio::spawn(accept(listener, behind, moods, cuts));
        Self { port, mood, cut, accepting }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What happens from now on. Whoever cannot be served any more is cut off.
    pub fn set(&self, mood: Mood) {
        let before = self.mood.send_replace(mood);
        if mood == Mood::Refuses || before == Mood::LosesAnswers {
            self.cut();
        }
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.cut.send_modify(|cut| *cut = Cut { number: cut.number + 1, is_half: false });
    }

    /// Closes every connection towards whoever asks, and towards the database none: there, the
    /// sessions stay until the next cut.
    pub fn half_close(&self) {
        self.cut.send_modify(|cut| *cut = Cut { number: cut.number + 1, is_half: true });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    behind: u16,
    mood: watch::Receiver<Mood>,
    cuts: watch::Receiver<Cut>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((asking, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        if *mood.borrow() != Mood::Refuses {
            // Those that are cut from now on, not those that were cut before.
            let mut cuts = cuts.clone();
            cuts.mark_unchanged();
            connections.spawn(pass(asking, behind, mood.clone(), cuts));
        }
    }
}

async fn pass(
    asking: TcpStream,
    behind: u16,
    mood: watch::Receiver<Mood>,
    cuts: watch::Receiver<Cut>,
) {
    let Ok(answering) = TcpStream::connect(("127.0.0.1", behind)).await else { return };
    // That small pieces wait for others is no part of this.
    let _ = (asking.set_nodelay(true), answering.set_nodelay(true));
    let (from_asking, to_asking) = asking.into_split();
    let (from_answering, to_answering) = answering.into_split();
    let questions = pump(from_asking, to_answering, false, mood.clone(), cuts.clone());
    let answers = pump(from_answering, to_asking, true, mood, cuts);
    tokio::join!(questions, answers);
}

/// Passes on what comes, until it ends or is cut.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    are_answers: bool,
    mut mood: watch::Receiver<Mood>,
    mut cuts: watch::Receiver<Cut>,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let passed = tokio::select! {
            passed = pass_one(&mut from, &mut to, &mut bytes, are_answers, &mut mood) => passed,
            cut = cuts.changed() => {
                let is_half = cut.is_ok() && cuts.borrow_and_update().is_half;
                if is_half && are_answers {
                    // It may be gone already.
                    let _ = to.shutdown().await;
                    let _ = cuts.changed().await;
                } else if is_half {
                    continue;
                }
                false
            }
        };
        if !passed {
            return;
        }
    }
}

/// Passes on one piece; whether there may be another one.
async fn pass_one(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    bytes: &mut [u8],
    are_answers: bool,
    mood: &mut watch::Receiver<Mood>,
) -> bool {
    let Ok(count) = from.read(bytes).await else { return false };
    loop {
        let now = *mood.borrow_and_update();
        match now {
            Mood::Silent => {
                if mood.changed().await.is_err() {
                    return false;
                }
            }
            Mood::LosesAnswers if are_answers => return count > 0,
            Mood::Slow(time) => {
                tokio::time::sleep(time).await;
                break;
            }
            Mood::Fair | Mood::Refuses | Mood::LosesAnswers => break,
        }
    }
    if count == 0 {
        // The other way may go on.
        let _ = to.shutdown().await;
        return false;
    }
    to.write_all(&bytes[..count]).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said to it, it says again.
    async fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        port
    }

    /// What comes back within a while; nothing if the connection is over.
    async fn said_again(stream: &mut TcpStream, word: &[u8]) -> Option<Vec<u8>> {
        stream.write_all(word).await.ok()?;
        let mut heard = vec![0; 64];
        let read = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut heard));
        match read.await {
            Ok(Ok(0) | Err(_)) => None,
            Ok(Ok(count)) => Some(heard[..count].to_vec()),
            Err(_) => Some(Vec::new()),
        }
    }

    #[tokio::test]
    async fn it_passes_on_keeps_back_loses_and_cuts() {
        let proxy = Proxy::before(echo().await).await;
        let connect = || async { TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap() };
        let mut stream = connect().await;
        assert_eq!(said_again(&mut stream, b"one").await.unwrap(), b"one");
        proxy.set(Mood::Silent);
        assert_eq!(said_again(&mut stream, b"two").await.unwrap(), b"");
        proxy.set(Mood::Slow(Duration::from_millis(20)));
        assert_eq!(said_again(&mut stream, b"").await.unwrap(), b"two", "it was kept");
        proxy.set(Mood::LosesAnswers);
        assert_eq!(said_again(&mut stream, b"three").await.unwrap(), b"");
        proxy.set(Mood::Fair);
        assert_eq!(said_again(&mut stream, b"four").await, None, "cut: an answer is missing");
        let mut stream = connect().await;
        assert_eq!(said_again(&mut stream, b"five").await.unwrap(), b"five");
        proxy.half_close();
        assert_eq!(said_again(&mut stream, b"six").await, None);
        proxy.set(Mood::Refuses);
        let mut stream = connect().await;
        assert_eq!(said_again(&mut stream, b"seven").await, None);
        proxy.set(Mood::Fair);
        let mut stream = connect().await;
        assert_eq!(said_again(&mut stream, b"eight").await.unwrap(), b"eight");
    }
}
