//! Random changes of tokens and users by several threads and by a second process, against a model. The model
//! knows for each token when it must pass and when it must not. A token never passes after the end of it was
//! acknowledged, and always passes while nothing has ended it.
//!
//! `MODEL_SECONDS` sets how long it runs, `MODEL_SEED` repeats the choices of an earlier run.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

use std::collections::VecDeque;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bearerd::Bearerd;
use bearerd::app::block_on;
use bearerd::auth::{
    Actor, Auth, AuthorizedToken, Error, Issued, NewUser, TokenRequest, UserUpdate,
};
use bearerd::config::Config;
use bearerd::domain::{Abilities, Email, Lifetime, Name, Password, Requirement, Timestamp};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// Users at a time.
const USERS: usize = 5;
/// Tokens that the model keeps, dead ones included.
const TOKENS: usize = 150;
/// How long after its acknowledgement a change by another process may go unnoticed (docs/security.md).
const NOTICE: Duration = Duration::from_secs(1);

/// A value that changes now and then.
struct Register<T> {
    /// The value, and from when on each check must see it. `None` while a change is under way.
    value: Option<(T, Instant)>,
    changes: u64,
}

impl<T: Copy> Register<T> {
    fn new(value: T) -> Mutex<Self> {
        Mutex::new(Self { value: Some((value, Instant::now())), changes: 0 })
    }

    /// The value, if a check that begins now must see it.
    fn read(&self) -> (Option<T>, u64) {
        let settled = self.value.filter(|(_, since)| *since <= Instant::now());
        (settled.map(|(value, _)| value), self.changes)
    }
}

struct Owner {
    id: i64,
    email: Email,
    disabled: Mutex<Register<bool>>,
    /// Whether the user, and each token, may write.
    writes: Mutex<Register<bool>>,
    /// Held by a change of the two, so that their order is known.
    changing: tokio::sync::Mutex<()>,
    /// How often an end of all tokens has begun, and how often it was done.
    ends: (AtomicU64, AtomicU64),
}

struct Token {
    string: String,
    id: i64,
    owner: Arc<Owner>,
    parent: Option<Arc<Token>>,
    expires_at: Option<i64>,
    end: Mutex<End>,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    No,
    /// It is under way, or its answer is lost.
    Begun,
    /// No check that begins at this time or later may pass.
    Since(Instant),
}

impl Token {
    /// This token, and those that it dies with.
    fn family(&self) -> impl Iterator<Item = &Token> {
        std::iter::successors(Some(self), |token| token.parent.as_deref())
    }

    fn is_ending(&self) -> bool {
        self.family().any(|token| *token.end.lock().unwrap() != End::No)
    }

    fn is_dead(&self) -> bool {
        let now = Instant::now();
        self.family().any(|token| matches!(*token.end.lock().unwrap(), End::Since(at) if at <= now))
    }

    fn begin_end(&self) {
        let mut end = self.end.lock().unwrap();
        if *end == End::No {
            *end = End::Begun;
        }
    }

    fn acknowledge_end(&self, since: Instant) {
        let mut end = self.end.lock().unwrap();
        *end = match *end {
            End::Since(earlier) => End::Since(earlier.min(since)),
            _ => End::Since(since),
        };
    }
}

#[derive(Default)]
struct Counts {
    passed: AtomicUsize,
    refused: AtomicUsize,
    changed: AtomicUsize,
    by_the_other: AtomicUsize,
    unanswered: AtomicUsize,
}

struct Model {
    auth: Auth,
    clock: Arc<AtomicI64>,
    database: PathBuf,
    owners: Mutex<Vec<Arc<Owner>>>,
    tokens: Mutex<VecDeque<Arc<Token>>>,
    names: AtomicU64,
    counts: Counts,
}

/// Who makes a change: this process, or a command beside it.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Server,
    Command,
}

impl Model {
    fn owner(&self, rng: &mut StdRng) -> Arc<Owner> {
        self.owners.lock().unwrap().choose(rng).unwrap().clone()
    }

    fn token(&self, rng: &mut StdRng) -> Option<Arc<Token>> {
        let tokens = self.tokens.lock().unwrap();
        // Rather one that is live, and rather a new one.
        let only_live = rng.random_bool(0.7);
        let most = if rng.random_bool(0.6) { 20 } else { TOKENS };
        let some = tokens.iter().rev().filter(|token| !only_live || !token.is_ending());
        some.take(most).collect::<Vec<_>>().choose(rng).map(|token| (*token).clone())
    }

    /// Runs a command in another process. Returns whether it succeeded, and its output.
    fn command(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bearerd"))
            .args(arguments)
            .current_dir(self.database.parent().unwrap())
            .env("BEARERD_DATABASE_URL", format!("sqlite://{}", self.database.display()))
            .env("BEARERD_BCRYPT_COST", "4")
            .env("BEARERD_TOKEN_TTL", "never")
            .env("BEARERD_LOG", "off")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        // It fails if the user or the token has ended in the meantime.
        self.counts.by_the_other.fetch_add(usize::from(output.status.success()), SeqCst);
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    /// From when on each check must see a change that was just acknowledged.
    fn seen(by: By) -> Instant {
        Instant::now() + if by == By::Command { NOTICE } else { Duration::ZERO }
    }

    /// Checks a token. It must pass or be refused if the model says so from before the check until after it.
    async fn check(&self, token: &Token) {
        let registers = || {
            let disabled = token.owner.disabled.lock().unwrap().read();
            (disabled, token.owner.writes.lock().unwrap().read())
        };
        let is_expired = || token.expires_at.is_some_and(|end| end <= self.clock.load(SeqCst));
        let (was_dead, was_expired) = (token.is_dead(), is_expired());
        let (disabled_before, writes_before) = registers();
        let result = self.auth.authenticate(token.string.as_bytes()).await;
        let (disabled_after, writes_after) = registers();
        let (is_ending, is_expired) = (token.is_ending(), is_expired());
        let settled = |before: (Option<bool>, u64), after: (Option<bool>, u64)| {
            before.0.filter(|_| before.1 == after.1)
        };
        let disabled = settled(disabled_before, disabled_after);
        let about = format!("token {} of {}", token.id, token.owner.email);
        match result {
            Ok(session) => {
                assert!(!was_dead, "{about} passed after its end was acknowledged");
                assert!(!was_expired, "{about} passed after it had expired");
                assert!(disabled != Some(true), "{about} passed while its owner was disabled");
                let writes = settled(writes_before, writes_after);
                // What a token issues may have fewer abilities.
                if let Some(writes) = writes.filter(|may| !may || token.parent.is_none()) {
                    assert_eq!(session.token_can("write"), writes, "{about}: its abilities");
                }
                self.counts.passed.fetch_add(1, SeqCst);
            }
            Err(Error::InvalidToken) => {
                let may_be_refused = is_ending || is_expired || disabled != Some(false);
                assert!(may_be_refused, "{about} was refused, but nothing has ended it");
                self.counts.refused.fetch_add(1, SeqCst);
            }
            Err(_) => {
                self.counts.unanswered.fetch_add(1, SeqCst);
            }
        }
    }

    async fn add_owner(&self) {
        let number = self.names.fetch_add(1, SeqCst);
        let email = Email::parse(&format!("user{number}@example.org")).unwrap();
        let user = NewUser {
            name: Name::parse("x").unwrap(),
            email: email.clone(),
            password: Password::chosen("correct horse".to_owned()).unwrap(),
            abilities: Abilities::all(),
            admin: false,
        };
        let id = self.auth.create_user(Actor::Operator, user).await.unwrap().id;
        self.owners.lock().unwrap().push(Arc::new(Owner {
            id,
            email,
            disabled: Register::new(false),
            writes: Register::new(true),
            changing: tokio::sync::Mutex::new(()),
            ends: Default::default(),
        }));
    }

    /// Issues a token by `issue`, which gives its string, its id and when it expires.
    async fn issue(
        &self,
        owner: &Arc<Owner>,
        parent: Option<Arc<Token>>,
        issue: impl AsyncFnOnce() -> Option<(String, i64, Option<i64>)>,
    ) {
        let (begun, done) = (owner.ends.0.load(SeqCst), owner.ends.1.load(SeqCst));
        let Some((string, id, expires_at)) = issue().await else { return };
        let end = Mutex::new(End::No);
        let token = Arc::new(Token { string, id, owner: owner.clone(), parent, expires_at, end });
        {
            let mut tokens = self.tokens.lock().unwrap();
            if begun != done || begun != owner.ends.0.load(SeqCst) {
                // It is not known which came first.
                token.begin_end();
            }
            tokens.push_back(token.clone());
            if tokens.len() > TOKENS {
                tokens.pop_front();
            }
        }
        self.check(&token).await;
    }

    async fn issue_any(&self, rng: &mut StdRng, by: By) {
        let expires_in = rng.random_bool(0.3).then(|| rng.random_range(1..60));
        let name = Name::parse("x").unwrap();
        let request = TokenRequest { name, abilities: None, expires_in };
        let parts = |issued: Issued| {
            let Issued { plain, token } = issued;
            Some((plain.expose().to_owned(), token.id, token.expires_at.map(Timestamp::as_unix)))
        };
        let parent = self.token(rng).filter(|token| by == By::Server && token.parent.is_none());
        match (by, parent.filter(|_| rng.random_bool(0.25))) {
            (By::Command, _) => {
                let owner = self.owner(rng);
                let arguments = ["token", "issue", "--name", "x", "--email", owner.email.as_str()];
                let run = async || {
                    let (done, string) = self.command(&arguments, "");
                    let string = string.trim().to_owned();
                    // Its id is not printed. It may have ended already.
                    let session = self.auth.authenticate(string.as_bytes()).await;
                    session.ok().filter(|_| done).map(|session| (string, session.token.id, None))
                };
                self.issue(&owner, None, run).await;
            }
            (By::Server, None) => {
                let owner = self.owner(rng);
                let issue =
                    async || parts(self.auth.issue(owner.email.clone(), request).await.ok()?);
                self.issue(&owner, None, issue).await;
            }
            (By::Server, Some(parent)) => {
                let Ok(session) = self.auth.authenticate(parent.string.as_bytes()).await else {
                    return;
                };
                let bearer = AuthorizedToken::admit(session, Requirement::LiveToken).unwrap();
                let issue =
                    async || parts(self.auth.issue_by_token(&bearer, request).await.ok()?.0);
                self.issue(&parent.owner.clone(), Some(parent), issue).await;
            }
        }
    }

    /// Ends one token.
    async fn revoke(&self, token: &Token, rng: &mut StdRng, by: By) {
        let session = self.auth.authenticate(token.string.as_bytes()).await;
        token.begin_end();
        let is_done = match (by, session) {
            (By::Command, _) => self.command(&["token", "revoke", &token.id.to_string()], "").0,
            (By::Server, Ok(session)) if rng.random_bool(0.3) => {
                self.auth.log_out(&session).await.is_ok()
            }
            (By::Server, _) => {
                let revoked = self.auth.revoke(Actor::Operator, token.id, None).await;
                // If it is not found, it has ended before.
                matches!(revoked, Ok(_) | Err(Error::NotFound(_)))
            }
        };
        if is_done {
            token.acknowledge_end(Self::seen(by));
        }
        self.check(token).await;
    }

    /// Ends all tokens of a user by `end`, except perhaps one and those that it has issued.
    async fn end_all(
        &self,
        owner: &Arc<Owner>,
        kept: Option<&Arc<Token>>,
        by: By,
        end: impl AsyncFnOnce() -> bool,
    ) {
        let ended: Vec<_> = {
            let tokens = self.tokens.lock().unwrap();
            owner.ends.0.fetch_add(1, SeqCst);
            let others = tokens.iter().filter(|token| {
                Arc::ptr_eq(&token.owner, owner)
                    && kept.is_none_or(|kept| !Arc::ptr_eq(kept, token))
            });
            others.cloned().collect()
        };
        ended.iter().for_each(|token| token.begin_end());
        let is_done = end().await;
        let since = Self::seen(by);
        // What the kept token has issued may be kept or not.
        let is_of_kept = |token: &Token| {
            token.parent.as_ref().zip(kept).is_some_and(|(parent, kept)| Arc::ptr_eq(parent, kept))
        };
        if is_done {
            ended.iter().filter(|token| !is_of_kept(token)).for_each(|t| t.acknowledge_end(since));
        }
        owner.ends.1.fetch_add(1, SeqCst);
        for token in ended.iter().rev().take(5).chain(kept) {
            self.check(token).await;
        }
    }

    async fn end_all_any(&self, rng: &mut StdRng, by: By) {
        let owner = self.owner(rng);
        let email = owner.email.as_str();
        match (by, rng.random_range(0..6)) {
            (By::Server, 0..3) => {
                let kept = self.token(rng).filter(|token| {
                    Arc::ptr_eq(&token.owner, &owner)
                        && token.parent.is_none()
                        && !token.is_ending()
                });
                let id = kept.as_ref().map(|token| token.id);
                let revoke =
                    async || self.auth.revoke_all(Actor::Operator, owner.id, id).await.is_ok();
                self.end_all(&owner, kept.as_ref(), by, revoke).await;
            }
            (By::Server, 3..5) => {
                let password = Password::chosen("another one".to_owned()).ok();
                let update = UserUpdate { password, ..UserUpdate::default() };
                let change =
                    async || self.auth.update_user(Actor::Operator, owner.id, update).await.is_ok();
                self.end_all(&owner, None, by, change).await;
            }
            (By::Command, 0..5) => {
                let run = async || self.command(&["user", "password", email], "another one\n").0;
                self.end_all(&owner, None, by, run).await;
            }
            _ => {
                self.owners.lock().unwrap().retain(|other| !Arc::ptr_eq(other, &owner));
                let delete = async || match by {
                    By::Server => self.auth.delete_user(Actor::Operator, owner.id).await.is_ok(),
                    By::Command => self.command(&["user", "delete", email], "").0,
                };
                self.end_all(&owner, None, by, delete).await;
                self.add_owner().await;
            }
        }
    }

    /// Disables or enables a user, or gives or takes an ability.
    async fn change(&self, rng: &mut StdRng, by: By) {
        let owner = self.owner(rng);
        let Ok(_alone) = owner.changing.try_lock() else { return };
        let is_ability = rng.random_bool(0.5);
        let register = if is_ability { &owner.writes } else { &owner.disabled };
        let value = {
            let mut register = register.lock().unwrap();
            let Some((value, _)) = register.value else { return };
            if !is_ability && !value && rng.random_bool(0.6) {
                // Most users are enabled at most times.
                return;
            }
            register.value = None;
            register.changes += 1;
            !value
        };
        let email = owner.email.as_str();
        let (command, ability) = match (is_ability, value) {
            (true, true) => ("abilities", Some("*")),
            (true, false) => ("abilities", Some("read")),
            (false, true) => ("disable", None),
            (false, false) => ("enable", None),
        };
        let is_done = match by {
            By::Command => {
                let arguments: Vec<_> =
                    ["user", command, email].into_iter().chain(ability).collect();
                self.command(&arguments, "").0
            }
            By::Server => {
                let abilities = ability.map(|ability| Abilities::parse([ability]).unwrap());
                let disabled = (!is_ability).then_some(value);
                let update = UserUpdate { abilities, disabled, ..UserUpdate::default() };
                self.auth.update_user(Actor::Operator, owner.id, update).await.is_ok()
            }
        };
        if is_done {
            register.lock().unwrap().value = Some((value, Self::seen(by)));
        }
        let own = |token: &&Arc<Token>| Arc::ptr_eq(&token.owner, &owner);
        let tokens: Vec<_> =
            self.tokens.lock().unwrap().iter().rev().filter(own).take(5).cloned().collect();
        for token in tokens {
            self.check(&token).await;
        }
    }

    /// Does what is chosen among `choices`: checks below 60, the clock below 65, or else changes.
    async fn work(&self, mut rng: StdRng, by: By, choices: Range<u32>, until: Instant) {
        let start = Instant::now();
        while Instant::now() < until {
            let mut choice = rng.random_range(choices.clone());
            // Without own commits, the server must notice those of commands all the same.
            let is_quiet = start.elapsed().as_secs() % 5 > 1;
            match by {
                By::Server if is_quiet => choice %= 60,
                By::Command if is_quiet => choice = 80 + choice % 17,
                _ => {}
            }
            match (choice, self.token(&mut rng)) {
                (0..60, Some(token)) => self.check(&token).await,
                (60..65, _) => {
                    self.clock.fetch_add(1, SeqCst);
                }
                (80..88, Some(token)) => self.revoke(&token, &mut rng, by).await,
                (88..97, _) => self.change(&mut rng, by).await,
                (97..99, _) => self.end_all_any(&mut rng, by).await,
                (99, _) if by == By::Server => drop(self.auth.prune(None).await),
                _ => self.issue_any(&mut rng, by).await,
            }
            if choice >= 65 {
                self.counts.changed.fetch_add(1, SeqCst);
                let seen = Self::seen(by);
                while is_quiet && Instant::now() < seen {
                    if let Some(token) = self.token(&mut rng) {
                        self.check(&token).await;
                    }
                }
            }
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn a_token_passes_until_its_end_and_never_after_it() {
    let seconds = variable("MODEL_SECONDS").unwrap_or(8);
    let seed = variable("MODEL_SEED").unwrap_or_else(rand::random);
    eprintln!("MODEL_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("bearerd.sqlite");
    let config = Config {
        database: database.clone(),
        bcrypt_cost: 4,
        token_ttl: Lifetime::NEVER,
        retention: Duration::from_secs(5),
        // As small as it may be.
        cache_size: 4 << 20,
        ..Config::default()
    };
    // The commands have the system's clock; here time is faster.
    let clock = Arc::new(AtomicI64::new(Timestamp::from(SystemTime::now()).as_unix()));
    let now = clock.clone();
    block_on(async {
        let clock_of_server = Arc::new(move || Timestamp::from_unix(now.load(SeqCst)));
        let bearerd = Bearerd::open_at(&config, clock_of_server).unwrap();
        let model = Arc::new(Model {
            auth: bearerd.auth().clone(),
            clock,
            database,
            owners: Mutex::default(),
            tokens: Mutex::default(),
            names: AtomicU64::new(1),
            counts: Counts::default(),
        });
        for _ in 0..USERS {
            model.add_owner().await;
        }
        let until = Instant::now() + Duration::from_secs(seconds);
        let workers = [
            (By::Server, 0..100),
            (By::Server, 0..100),
            (By::Server, 40..100),
            (By::Server, 40..100),
            (By::Server, 0..60),
            (By::Command, 65..100),
        ];
        let start = |(number, (by, choices))| {
            let (model, rng) = (model.clone(), StdRng::seed_from_u64(seed ^ number));
            std::thread::spawn(move || block_on(model.work(rng, by, choices, until)))
        };
        let threads: Vec<_> = (0..).zip(workers).map(start).collect();
        let join = || threads.into_iter().map(|thread| thread.join().is_ok()).collect::<Vec<_>>();
        let ended = tokio::task::spawn_blocking(join).await.unwrap();
        bearerd.close().await;
        let Counts { passed, refused, changed, by_the_other, unanswered } = &model.counts;
        let [passed, refused, changed, by_the_other, unanswered] =
            [passed, refused, changed, by_the_other, unanswered].map(|count| count.load(SeqCst));
        eprintln!(
            "{passed} checks passed, {refused} were refused, {unanswered} had no answer; {changed} changes, \
             {by_the_other} of them by commands"
        );
        assert!(ended.iter().all(|ended| *ended), "the model was contradicted; see above");
        assert!(passed > 100 && refused > 100 && by_the_other > 0, "too little was tried");
        assert!(unanswered < (passed + refused) / 10, "too many checks had no answer");
    });
}
