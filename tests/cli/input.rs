use crate::support::{Place, stderr};

#[test]
fn wrong_arguments_are_named_and_exit_with_2() {
    let place = Place::new();
    for (arguments, input, text) in [
        (
            &["user", "create", "--email", "ada", "--name", "A"][..],
            "long enough\n",
            "--email must be",
        ),
        (
            &["user", "create", "--email", "a@b.c", "--name", " "],
            "long enough\n",
            "--name is required",
        ),
        (
            &["user", "create", "--email", "a@b.c", "--name", "A"],
            "short\n",
            "at least 8 characters",
        ),
        (&["user", "create", "--email", "a@b.c", "--name", "A"], "", "the password is required"),
        (&["user", "create", "--name", "A"], "", "--email"),
        (
            &["user", "create", "--email", "a@b.c", "--name", "A", "--ability", "a b"],
            "long enough\n",
            "--ability must contain",
        ),
        (
            &["token", "issue", "--email", "a@b.c", "--name", "x", "--expires-in", "soon"],
            "",
            "--expires-in must be a duration",
        ),
        (&["token", "revoke", "x"], "", "invalid value"),
        (&["prune", "--older-than", "soon"], "", "--older-than must be a duration"),
        (&["prune", "--older-than=-1h"], "", "--older-than must be a duration"),
        (&["prune", "--hours", "2"], "", "prune --hours was renamed; use prune --older-than"),
        (&["serve", "--listen", "everywhere"], "", "--listen on the command line"),
        (&["serve", "--demo", "--listen", "0.0.0.0:0"], "", "loopback"),
        (&["nonsense"], "", "nonsense"),
        (&[], "", "Usage"),
    ] {
        let output = place.run_with_input(arguments, input);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(text), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"));
    }
}
