//! Statements in SQL that are prepared once for a connection. Diesel prepares some of its own anew
//! each time (an `UPDATE` always), or spells them out first to see whether it knows them; these are
//! those that a busy server runs thousands of times a second.

/// Defines a type for each statement: its text, with the values to bind between its parts as
/// `[field: type as SqlType]`.
macro_rules! statements {
    ($($(#[$docs:meta])* $name:ident: $($sql:literal $([$field:ident: $rust:ty as $type:ty])?)+;)+) => {$(
        $(#[$docs])*
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

        impl diesel::RunQueryDsl<diesel::SqliteConnection> for $name {}
    )+};
}

pub(super) use statements;
