use crate::support::Place;

#[test]
fn completions_are_printed_for_each_shell_even_with_wrong_settings() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = place.command(&["completions", shell]).env("BEARERD_X", "").output().unwrap();
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("token-prefix") && script.contains("backup"), "{shell}");
    }
    assert_eq!(place.run(&["completions", "csh"]).status.code(), Some(2));
}
