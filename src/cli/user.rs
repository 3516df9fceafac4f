use clap::{Args, Subcommand};
use serde::Serialize;

use super::{CliError, Format, input, output, with_services};
use crate::auth::NewUser;
use crate::config::Config;
use crate::domain::{Abilities, Email, Name, Timestamp, User};

#[derive(Subcommand)]
pub(super) enum UserTask {
    /// Create a user; the password is asked for, or read as the first line of standard input
    Create(Create),
    /// List the users
    List(Format),
}

#[derive(Args)]
pub(super) struct Create {
    /// The email that the user logs in with
    #[arg(long)]
    email: String,
    /// What the user is called
    #[arg(long)]
    name: String,
    /// Let the user administrate
    #[arg(long)]
    admin: bool,
    /// What the user may do at most; repeatable [default: *]
    #[arg(long = "ability", value_name = "ABILITY")]
    abilities: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    id: i64,
    email: Email,
    name: Name,
    abilities: Abilities,
    admin: bool,
    disabled_at: Option<Timestamp>,
    created_at: Timestamp,
}

impl From<User> for Row {
    fn from(user: User) -> Self {
        let User { id, email, name, abilities, admin, disabled_at, created_at, .. } = user;
        Self { id, email, name, abilities, admin, disabled_at, created_at }
    }
}

impl UserTask {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        match self {
            Self::Create(create) => create.run(config),
            Self::List(format) => {
                let users = with_services(config, async |auth| Ok(auth.users().await?))?;
                let rows: Vec<Row> = users.into_iter().map(Row::from).collect();
                let headings = ["ID", "EMAIL", "NAME", "ABILITIES", "ADMIN", "DISABLED", "CREATED"];
                output::list(format.json, &rows, headings, |row| {
                    [
                        row.id.to_string(),
                        row.email.to_string(),
                        row.name.to_string(),
                        row.abilities.to_string(),
                        if row.admin { "yes" } else { "no" }.to_owned(),
                        output::or_dash(row.disabled_at),
                        row.created_at.to_string(),
                    ]
                })
            }
        }
    }
}

impl Create {
    fn run(self, config: &Config) -> Result<(), CliError> {
        let account = NewUser {
            email: input::flag("email", Email::parse(&self.email))?,
            name: input::flag("name", Name::parse(&self.name))?,
            abilities: input::abilities(&self.abilities)?.unwrap_or_else(Abilities::all),
            admin: self.admin,
            password: input::password()?,
        };
        let user = with_services(config, async |auth| Ok(auth.create_user(account).await?))?;
        output::print(&format!("created user {} with the id {}", user.email, user.id))
    }
}
