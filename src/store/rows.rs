//! Rows of `tokens` and `users` as types of the domain.

use diesel::prelude::*;

use super::schema::{tokens, users};
use crate::domain::{
    Abilities, Bond, Email, Name, PasswordHash, Timestamp, Token, TokenKind, User,
};

#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = tokens)]
pub(super) struct TokenRow {
    id: i64,
    name: String,
    abilities: String,
    created_at: i64,
    last_used_at: Option<i64>,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    kind: String,
    parent_id: Option<i64>,
    ages_from: Option<i64>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub(super) struct UserRow {
    pub(super) id: i64,
    name: String,
    pub(super) email: String,
    abilities: String,
    admin: bool,
    disabled_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    revoked_through: i64,
    kept_token: Option<i64>,
    all_revoked_at: Option<i64>,
}

/// A user and the hash that a login is checked against.
#[derive(Clone, Debug)]
pub struct UserWithHash {
    /// The user.
    pub user: User,
    /// The hash of the user's password.
    pub password_hash: PasswordHash,
}

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        let kind = TokenKind::from_stored(&row.kind);
        let ages_from = Timestamp::from_unix(row.ages_from.unwrap_or(row.created_at));
        Self {
            id: row.id,
            kind,
            bond: row.parent_id.map(|parent_id| Box::new(Bond { parent_id, ages_from })),
            name: Name::from_stored(row.name),
            abilities: Abilities::from_stored(row.abilities).held_by(kind),
            created_at: Timestamp::from_unix(row.created_at),
            last_used_at: row.last_used_at.map(Timestamp::from_unix),
            expires_at: row.expires_at.map(Timestamp::from_unix),
            revoked_at: row.revoked_at.map(Timestamp::from_unix),
        }
    }
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            name: Name::from_stored(row.name),
            email: Email::from_stored(row.email),
            abilities: Abilities::from_stored(row.abilities),
            admin: row.admin,
            disabled_at: row.disabled_at.map(Timestamp::from_unix),
            created_at: Timestamp::from_unix(row.created_at),
            updated_at: Timestamp::from_unix(row.updated_at),
        }
    }
}

impl UserRow {
    /// When a revocation of all the user's tokens revoked the one with this id, if any did.
    fn revoked_at(&self, token_id: i64) -> Option<i64> {
        let is_revoked = token_id <= self.revoked_through && self.kept_token != Some(token_id);
        is_revoked.then(|| self.all_revoked_at.unwrap_or(self.updated_at))
    }
}

/// A token with its owner. The token's `revoked_at` includes revocations of all the owner's tokens: other
/// code need not know of these.
pub(super) fn into_domain((mut token, owner): (TokenRow, UserRow)) -> (Token, User) {
    token.revoked_at = token.revoked_at.or_else(|| owner.revoked_at(token.id));
    (token.into(), owner.into())
}

impl From<(UserRow, String)> for UserWithHash {
    fn from((user, hash): (UserRow, String)) -> Self {
        Self { user: user.into(), password_hash: PasswordHash::new(hash) }
    }
}

/// The token with this id, and its owner.
pub(super) fn by_id(
    connection: &mut SqliteConnection,
    id: i64,
) -> QueryResult<Option<(Token, User)>> {
    let row = tokens::table.inner_join(users::table).filter(tokens::id.eq(id));
    let row = row.select((TokenRow::as_select(), UserRow::as_select()));
    Ok(row.get_result(connection).optional()?.map(into_domain))
}
