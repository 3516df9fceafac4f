use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::{self, Column};
use super::{CliError, Format, input, no_user, not_found, with_services};
use crate::auth::{Actor, Auth, TokenRequest};
use crate::config::Config;
use crate::domain::{Abilities, Email, Name, Timestamp, Token, TokenKind, User};

#[derive(Subcommand)]
pub(super) enum TokenTask {
    /// Issue a token and print it; it can't be shown again
    Issue(Issue),
    /// List the tokens, also revoked and expired ones that are not removed yet
    List(List),
    /// Revoke a token and the tokens that are bound to it
    Revoke {
        /// The token's id, as `token list` shows it
        id: i64,
    },
}

#[derive(Args)]
pub(super) struct Issue {
    /// The email of the token's user
    #[arg(long)]
    email: String,
    /// The token's name
    #[arg(long)]
    name: String,
    /// An ability of the token; repeatable [default: *]. The token can use it only if its user has it
    /// too. A wildcard never covers tokens:write, account:write, admin, introspect and events:read: name
    /// these
    #[arg(long = "ability", value_name = "ABILITY")]
    abilities: Vec<String>,
    /// How long the token is valid, such as 90d or 12h [default: the setting token_ttl]
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<String>,
}

#[derive(Args)]
pub(super) struct List {
    /// List only the tokens of the user with this email
    #[arg(long)]
    email: Option<String>,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Row {
    id: i64,
    email: Email,
    name: Name,
    kind: TokenKind,
    abilities: Abilities,
    live: bool,
    created_at: Timestamp,
    last_used_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

const COLUMNS: [Column<Row>; 10] = [
    ("ID", |row| row.id.to_string()),
    ("EMAIL", |row| row.email.to_string()),
    ("NAME", |row| row.name.to_string()),
    ("KIND", |row| row.kind.to_string()),
    ("ABILITIES", |row| row.abilities.to_string()),
    ("LIVE", |row| output::yes_or_no(row.live)),
    ("CREATED", |row| row.created_at.to_string()),
    ("LAST USED", |row| output::or_dash(row.last_used_at)),
    ("EXPIRES", |row| output::or_dash(row.expires_at)),
    ("REVOKED", |row| output::or_dash(row.revoked_at)),
];

impl Row {
    fn of(auth: &Auth, token: Token, owner: User) -> Self {
        Self {
            live: auth.is_live(&token, &owner),
            expires_at: auth.end_of(&token),
            id: token.id,
            email: owner.email,
            name: token.name,
            kind: token.kind,
            abilities: token.abilities,
            created_at: token.created_at,
            last_used_at: token.last_used_at,
            revoked_at: token.revoked_at,
        }
    }
}

impl TokenTask {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        match self {
            Self::Issue(issue) => issue.run(config),
            Self::List(list) => list.run(config),
            Self::Revoke { id } => {
                let revoked = with_services(config, async |auth| {
                    let missing = || {
                        format!(
                            "there is no token with the id {id}, or it is revoked already; \
                             `bearerd token list` shows all tokens"
                        )
                    };
                    auth.revoke(Actor::Operator, id, None).await.map_err(not_found(missing))
                })?;
                let bound = match revoked.saturating_sub(1) {
                    0 => String::new(),
                    bound => format!(
                        "; {} bound to it revoked too",
                        output::format_count(bound, "token")
                    ),
                };
                output::print(&format!("token {id} revoked{bound}"))
            }
        }
    }
}

impl Issue {
    fn run(self, config: &Config) -> Result<(), CliError> {
        let email = input::flag("email", Email::claimed(&self.email))?;
        let expires_in = input::duration("expires-in", self.expires_in.as_deref(), 1)?;
        let request = TokenRequest {
            name: input::flag("name", Name::parse(&self.name))?,
            abilities: input::abilities(&self.abilities)?,
            expires_in: expires_in.and_then(|duration| i64::try_from(duration.as_secs()).ok()),
        };
        let missing = no_user(&email);
        let issued = with_services(config, async |auth| {
            auth.issue(email, request).await.map_err(not_found(|| missing))
        })?;
        output::print(issued.plain.expose())
    }
}

impl List {
    fn run(self, config: &Config) -> Result<(), CliError> {
        let email =
            self.email.map(|text| input::flag("email", Email::claimed(&text))).transpose()?;
        with_services(config, async |auth| {
            let mut last = 0;
            let next = async || {
                let tokens = auth.tokens_after(last, email.as_ref()).await?;
                last = tokens.last().map_or(last, |(token, _)| token.id);
                Ok(tokens.into_iter().map(|(token, owner)| Row::of(auth, token, owner)).collect())
            };
            output::list(self.format.json, &COLUMNS, next).await
        })
    }
}
