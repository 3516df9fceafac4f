use bearerd::app;

use crate::support::start;

#[test]
fn a_shutdown_stores_the_last_use_and_leaves_one_file() {
    let mut server = start();
    let token = server.issue(&["*"]);
    server.set_clock(30);
    assert_eq!(server.get("/api/user", &token).status, 200);
    server.stop();
    let companions = std::fs::read_dir(server.config.database.parent().unwrap()).unwrap();
    let names: Vec<_> = companions.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["test.sqlite"], "the write-ahead log is merged");
    app::block_on(async {
        let services = app::Services::open(&server.config, app::system_clock()).unwrap();
        let tokens = services.auth.tokens_after(0, None).await.unwrap();
        let at = tokens[0].0.last_used_at.map(|at| at.to_string());
        assert_eq!(at.as_deref(), Some("2026-01-01T00:00:30Z"));
        services.close().await;
    });
}
