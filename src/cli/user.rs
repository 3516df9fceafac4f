use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::{self, Column};
use super::{CliError, Format, input, no_user, not_found, with_services};
use crate::auth::{Actor, Auth, NewUser, UserUpdate};
use crate::config::Config;
use crate::domain::{Abilities, Email, Name, Timestamp, User};

#[derive(Subcommand)]
pub(super) enum UserTask {
    /// Create a user; the password is typed, or the first line of standard input
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
    /// Enable a user again: logins and tokens that are neither revoked nor expired are accepted
    Enable(ByEmail),
    /// Disable a user: logins and all tokens of the user are refused at once
    Disable(ByEmail),
    /// Set a user's password, typed or the first line of standard input, and revoke the user's tokens
    Password(ByEmail),
    /// Set a user's abilities, which limit those of the user's tokens; none, if none is given
    Abilities {
        /// The user's email
        email: String,
        /// The abilities, such as '*', 'posts:*' or posts:read
        abilities: Vec<String>,
    },
    /// Delete a user and all tokens of the user
    Delete(ByEmail),
}

#[derive(Args)]
pub(super) struct ByEmail {
    /// The user's email
    email: String,
}

#[derive(Args)]
pub(super) struct Create {
    /// The email that the user logs in with
    #[arg(long)]
    email: String,
    /// The user's name
    #[arg(long)]
    name: String,
    /// Allow an email that is reserved for its last owner
    #[arg(long)]
    reuse_email: bool,
    /// Make the user an administrator
    #[arg(long)]
    admin: bool,
    /// An ability of the user, and at most of the user's tokens; repeatable [default: *]
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

const COLUMNS: [Column<Row>; 7] = [
    ("ID", |row| row.id.to_string()),
    ("EMAIL", |row| row.email.to_string()),
    ("NAME", |row| row.name.to_string()),
    ("ABILITIES", |row| row.abilities.to_string()),
    ("ADMIN", |row| output::yes_or_no(row.admin)),
    ("DISABLED", |row| output::or_dash(row.disabled_at)),
    ("CREATED", |row| row.created_at.to_string()),
];

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
                output::list(format.json, &COLUMNS, next).await
            }),
            Self::Show { email, format } => {
                let email = input::flag("email", Email::claimed(&email))?;
                let user = with_services(config, async |auth| find_user(auth, &email).await)?;
                let row = Row::from(user);
                match format.json {
                    true => output::print_json(&row),
                    false => output::print_lines(&output::table(&[row], &COLUMNS)),
                }
            }
            Self::Enable(ByEmail { email }) => {
                let update = UserUpdate { disabled: Some(false), ..UserUpdate::default() };
                let (user, _) = change_user(config, &email, update)?;
                output::print(&format!(
                    "user enabled: {}; tokens that are neither revoked nor expired work again",
                    user.email
                ))
            }
            Self::Disable(ByEmail { email }) => {
                let update = UserUpdate { disabled: Some(true), ..UserUpdate::default() };
                let (user, _) = change_user(config, &email, update)?;
                output::print(&format!(
                    "user disabled: {}; `bearerd user enable` lets the user's tokens work again",
                    user.email
                ))
            }
            Self::Password(ByEmail { email }) => {
                let password = Some(input::password()?);
                let update = UserUpdate { password, ..UserUpdate::default() };
                let (user, revoked) = change_user(config, &email, update)?;
                let revoked = output::format_count(revoked, "token");
                output::print(&format!("password changed for {}; {revoked} revoked", user.email))
            }
            Self::Abilities { email, abilities } => {
                let abilities = Some(input::flag("abilities", Abilities::parse(&abilities))?);
                let update = UserUpdate { abilities, ..UserUpdate::default() };
                let (user, _) = change_user(config, &email, update)?;
                let abilities = match user.abilities.to_string() {
                    none if none.is_empty() => "none".to_owned(),
                    some => some,
                };
                output::print(&format!("abilities changed for {}: {abilities}", user.email))
            }
            Self::Delete(ByEmail { email }) => {
                let email = input::flag("email", Email::claimed(&email))?;
                with_services(config, async |auth| {
                    let user = find_user(auth, &email).await?;
                    Ok(auth.delete_user(Actor::Operator, user.id).await?)
                })?;
                output::print(&format!("user deleted: {email}, with all tokens"))
            }
        }
    }
}

/// The user with this email.
async fn find_user(auth: &Auth, email: &Email) -> Result<User, CliError> {
    auth.user_by_email(email).await.map_err(not_found(|| no_user(email)))
}

/// Changes the user with this email. Returns the user and the number of revoked tokens.
fn change_user(
    config: &Config,
    email: &str,
    update: UserUpdate,
) -> Result<(User, usize), CliError> {
    let email = input::flag("email", Email::claimed(email))?;
    with_services(config, async |auth| {
        let user = find_user(auth, &email).await?;
        Ok(auth.update_user(Actor::Operator, user.id, update).await?)
    })
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
        output::print(&format!("user created: {} (id {})", user.email, user.id))
    }
}
