// The tables as the migrations make them, written by hand.

diesel::table! {
    users (id) {
        id -> BigInt,
        name -> Text,
        email -> Text,
        password_hash -> Text,
        abilities -> Text,
        admin -> Bool,
        disabled_at -> Nullable<BigInt>,
        created_at -> BigInt,
        updated_at -> BigInt,
        revoked_through -> BigInt,
        kept_token -> Nullable<BigInt>,
        all_revoked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    tokens (id) {
        id -> BigInt,
        user_id -> BigInt,
        name -> Text,
        digest -> Binary,
        abilities -> Text,
        created_at -> BigInt,
        last_used_at -> Nullable<BigInt>,
        expires_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        kind -> Text,
        parent_id -> Nullable<BigInt>,
        ages_from -> Nullable<BigInt>,
        digest_prefix -> Binary,
    }
}

diesel::table! {
    token_counts (user_id) {
        user_id -> BigInt,
        unrevoked -> BigInt,
    }
}

diesel::table! {
    email_owners (email) {
        email -> Text,
        user_id -> BigInt,
    }
}

diesel::joinable!(tokens -> users (user_id));
diesel::allow_tables_to_appear_in_same_query!(users, tokens, token_counts, email_owners);
