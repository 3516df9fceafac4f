use clap::{Args, Subcommand};
use serde::Serialize;

use super::{CliError, Format, input, output, with_services};
use crate::auth::{Actor, NewUser, UserUpdate};
use crate::config::Config;
use crate::domain::{Abilities, Email, Name, Timestamp, User};

#[derive(Subcommand)]
pub(super) enum UserTask {
    /// Create a user; the password is asked for, or read as the first line of standard input
    Create(Create),
    /// List the users
    List(Format),
    /// Show a user
    Show {
        /// The user's email
        email: String,
        #[command(flatten)]
        format: Format,
    },
    /// Let a disabled user in again, with the tokens that have not expired meanwhile
    Enable {
        /// The user's email
        email: String,
    },
    /// Shut a user out, with all their tokens, at once
    Disable {
        /// The user's email
        email: String,
    },
    /// Set a user's password, asked for or read as the first line of standard input, and revoke
    /// their tokens
    Password {
        /// The user's email
        email: String,
    },
    /// Set what a user, and so any token of theirs, may do at most; nothing, if no ability is given
    Abilities {
        /// The user's email
        email: String,
        /// The abilities, such as '*', 'posts:*' or posts:read
        abilities: Vec<String>,
    },
    /// Remove a user and all their tokens
    Delete {
        /// The user's email
        email: String,
    },
}

#[derive(Args)]
pub(super) struct Create {
    /// The email that the user logs in with
    #[arg(long)]
    email: String,
    /// What the user is called
    #[arg(long)]
    name: String,
    /// Let the user have an email that its last owner has given up
    #[arg(long)]
    reuse_email: bool,
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

const HEADINGS: [&str; 7] = ["ID", "EMAIL", "NAME", "ABILITIES", "ADMIN", "DISABLED", "CREATED"];

impl Row {
    fn cells(&self) -> [String; 7] {
        [
            self.id.to_string(),
            self.email.to_string(),
            self.name.to_string(),
            self.abilities.to_string(),
            if self.admin { "yes" } else { "no" }.to_owned(),
            output::or_dash(self.disabled_at),
            self.created_at.to_string(),
        ]
    }
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
            Self::List(format) => with_services(config, async |auth| {
                let mut last = 0;
                let next = async || {
                    let users = auth.users_after(last).await?;
                    last = users.last().map_or(last, |user| user.id);
                    Ok(users.into_iter().map(Row::from).collect())
                };
                output::list(format.json, HEADINGS, Row::cells, next).await
            }),
            Self::Show { email, format } => {
                let email = input::flag("email", Email::claimed(&email))?;
                let user =
                    with_services(config, async |auth| Ok(auth.user_by_email(&email).await?))?;
                let row = Row::from(user);
                match format.json {
                    true => output::print_json(&row),
                    false => output::print_lines(&output::table(&[row], HEADINGS, Row::cells)),
                }
            }
            Self::Enable { email } => {
                let update = UserUpdate { disabled: Some(false), ..UserUpdate::default() };
                change(config, &email, update, "enabled")
            }
            Self::Disable { email } => {
                let update = UserUpdate { disabled: Some(true), ..UserUpdate::default() };
                change(config, &email, update, "disabled")
            }
            Self::Password { email } => {
                let password = Some(input::password()?);
                let update = UserUpdate { password, ..UserUpdate::default() };
                change(config, &email, update, "set the password of, and revoked the tokens of,")
            }
            Self::Abilities { email, abilities } => {
                let abilities = Some(input::flag("abilities", Abilities::parse(&abilities))?);
                let update = UserUpdate { abilities, ..UserUpdate::default() };
                change(config, &email, update, "set the abilities of")
            }
            Self::Delete { email } => {
                let email = input::flag("email", Email::claimed(&email))?;
                with_services(config, async |auth| {
                    let user = auth.user_by_email(&email).await?;
                    Ok(auth.delete_user(Actor::Operator, user.id).await?)
                })?;
                output::print(&format!("deleted user {email}"))
            }
        }
    }
}

/// Changes the user with this email, and says what was done.
fn change(config: &Config, email: &str, update: UserUpdate, done: &str) -> Result<(), CliError> {
    let email = input::flag("email", Email::claimed(email))?;
    let user = with_services(config, async |auth| {
        let user = auth.user_by_email(&email).await?;
        Ok(auth.update_user(Actor::Operator, user.id, update).await?)
    })?;
    output::print(&format!("{done} user {}", user.email))
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
        let user = with_services(config, async |auth| {
            Ok(match self.reuse_email {
                true => auth.create_user_reusing_email(Actor::Operator, account).await?,
                false => auth.create_user(Actor::Operator, account).await?,
            })
        })?;
        output::print(&format!("created user {} with the id {}", user.email, user.id))
    }
}
