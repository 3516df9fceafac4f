//! SQL statements that each connection prepares once. Diesel prepares every `UPDATE` anew, and builds
//! the text of many others before it finds them prepared: too slow for what a busy server runs
//! thousands of times a second.

/// Defines a type for each statement, by which Diesel finds it prepared. A value to bind stands between
/// brackets: `Revoke: "UPDATE … SET revoked_at = " [at: i64 as BigInt] " WHERE id = " [id: i64 as BigInt];`
macro_rules! statements {
    ($($name:ident: $($sql:literal $([$field:ident: $rust:ty as $type:ty])?)+;)+) => {$(
        #[derive(diesel::query_builder::QueryId)]
        pub(super) struct $name {
            $($(pub(super) $field: $rust,)?)+
        }

        impl diesel::query_builder::QueryFragment<diesel::sqlite::Sqlite> for $name {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::sqlite::Sqlite>,
            ) -> diesel::QueryResult<()> {
                $(
                    out.push_sql($sql);
                    $(out.push_bind_param::<$type, $rust>(&self.$field)?;)?
                )+
                Ok(())
            }
        }

        impl diesel::query_builder::Query for $name {
            type SqlType = diesel::sql_types::Untyped;
        }

        impl diesel::RunQueryDsl<diesel::SqliteConnection> for $name {}
    )+};
}

pub(in crate::store) use statements;
