use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;

use super::answer::{Data, json};
use super::extract::Current;
use crate::domain::{Abilities, Email, Name, Timestamp, User};

#[derive(Serialize)]
struct UserBody<'a> {
    id: i64,
    name: &'a Name,
    email: &'a Email,
    abilities: &'a Abilities,
    admin: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> From<&'a User> for UserBody<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id,
            name: &user.name,
            email: &user.email,
            abilities: &user.abilities,
            admin: user.admin,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// `GET /api/user`
pub(super) async fn show(current: Current) -> HttpResponse {
    json(StatusCode::OK, &Data { data: UserBody::from(&current.user) })
}
