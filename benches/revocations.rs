//! Revocations per second over HTTP by 64 concurrent clients with durable writes (`synchronous=FULL`),
//! compared with one commit for each revocation. All tokens are cached before. After each revocation, the
//! client checks on a second connection that the token is refused. Both are measured in each round, which
//! prints the rate with single commits, then the rate with group commit. The argument is the number of rounds.
#![allow(clippy::print_stdout, reason = "this is the result")]

mod support;

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use actix_web::rt::net::TcpStream;
use bearerd::Config;
use bearerd::app::{self, Server};
use bearerd::auth::Auth;
use bearerd::domain::PlainToken;
use futures_util::future::try_join_all;
use support::{Failure, create_user, issue, rounds, settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Semaphore, oneshot};

const CLIENTS: usize = 64;
const ROUND: Duration = Duration::from_secs(1);
/// Tokens for each client to revoke. The first client without tokens ends the round.
const SUPPLY: usize = 600;

fn main() -> Result<(), Failure> {
    app::block_on(async {
        for _ in 0..rounds() {
            // One at a time: no second write is waiting when the first commits.
            let single = revoke_for_a_round(1).await?;
            let grouped = revoke_for_a_round(CLIENTS).await?;
            println!("{single:.0} {grouped:.0}");
        }
        Ok(())
    })
}

/// Starts a server and lets 64 clients revoke tokens, `at_once` of them at a time. Returns the revocations per
/// second.
async fn revoke_for_a_round(at_once: usize) -> Result<f64, Failure> {
    // On the working directory's disk, because /tmp may be in memory, where commits are cheap.
    let folder = tempfile::tempdir_in(".")?;
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), ..settings(folder.path()) };
    let server = Server::start(&config, app::system_clock(), None).await?;
    let (address, auth) = (server.address(), server.bearerd().auth().clone());
    create_user(&auth).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let load = async {
        let rate = load(address, &auth, at_once).await;
        let _ = stop.send(());
        rate
    };
    let serving = server.run_until(async { drop(stopped.await) });
    let (rate, served) = futures_util::join!(load, serving);
    served?;
    rate
}

async fn load(address: SocketAddr, auth: &Auth, at_once: usize) -> Result<f64, Failure> {
    let clients = try_join_all((0..CLIENTS).map(|_| Client::new(address, auth))).await?;
    let (places, is_over) = (Semaphore::new(at_once), Cell::new(false));
    let start = Instant::now();
    let clients = clients.into_iter().map(|client| client.run(&places, start, &is_over));
    let revoked = try_join_all(clients).await?;
    Ok(revoked.iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64())
}

struct Client {
    revoking: TcpStream,
    checking: TcpStream,
    tokens: Vec<PlainToken>,
}

impl Client {
    async fn new(address: SocketAddr, auth: &Auth) -> Result<Self, Failure> {
        let mut tokens = Vec::with_capacity(SUPPLY);
        for _ in 0..SUPPLY {
            tokens.push(issue(auth).await?);
        }
        let (revoking, mut checking) =
            (TcpStream::connect(address).await?, TcpStream::connect(address).await?);
        for token in &tokens {
            expect(200, &ask(&mut checking, "GET", token).await?)?;
        }
        Ok(Self { revoking, checking, tokens })
    }

    /// Revokes tokens until the round is over. Returns how many.
    async fn run(
        mut self,
        places: &Semaphore,
        start: Instant,
        is_over: &Cell<bool>,
    ) -> Result<usize, Failure> {
        for (revoked, token) in self.tokens.iter().enumerate() {
            if is_over.get() || start.elapsed() >= ROUND {
                return Ok(revoked);
            }
            let place = places.acquire().await?;
            expect(204, &ask(&mut self.revoking, "DELETE", token).await?)?;
            drop(place);
            expect(401, &ask(&mut self.checking, "GET", token).await?)?;
        }
        is_over.set(true);
        Ok(self.tokens.len())
    }
}

/// Sends a request to `/api/tokens/current` with this token. Returns the response.
async fn ask(
    connection: &mut TcpStream,
    method: &str,
    token: &PlainToken,
) -> Result<Vec<u8>, Failure> {
    let token = token.expose();
    let request = format!(
        "{method} /api/tokens/current HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await?;
    // The expected responses fit into one TCP segment, so one read gets all of a response.
    let mut answer = vec![0; 4096];
    let read = connection.read(&mut answer).await?;
    answer.truncate(read);
    Ok(answer)
}

fn expect(status: u16, answer: &[u8]) -> Result<(), Failure> {
    match answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()) {
        true => Ok(()),
        false => Err(format!("not {status}: {}", String::from_utf8_lossy(answer)).into()),
    }
}
