//! What is accepted, what is refused, and how deep texts may nest.

use super::parse;
use crate::error::SqlState;

#[test]
fn statements_are_split_where_they_end() {
    let cases: [(&str, &[&str]); 6] = [
        ("select 1; select 2;", &["select 1", "select 2"]),
        (";; ;", &[]),
        ("-- nothing\n", &[]),
        ("select ';' ; select $$;$$", &["select ';'", "select $$;$$"]),
        ("/* ; /* ; */ */ select 1", &["select 1"]),
        (
            "select \";\" from t -- ;\n;select 1",
            &["select \";\" from t", "select 1"],
        ),
    ];
    for (sql, expected) in cases {
        let found: Vec<String> = parse(sql).unwrap().into_iter().map(|p| p.text).collect();
        assert_eq!(found, expected, "{sql}");
    }
}

#[test]
fn utility_statements_are_known() {
    let accepted = [
        "copy pgbench_accounts from stdin with (freeze on)",
        "COPY t (a, b) FROM STDIN WITH CSV HEADER DELIMITER ','",
        "COPY (SELECT 1) TO STDOUT (FORMAT csv, HEADER)",
        "vacuum analyze pgbench_branches",
        "VACUUM (FULL, ANALYZE) t (a)",
        "CHECKPOINT",
        "REINDEX TABLE t",
        "BEGIN",
        "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE, NOT DEFERRABLE",
        "START TRANSACTION READ ONLY",
        "COMMIT AND CHAIN",
        "END",
        "ABORT",
        "ROLLBACK TO SAVEPOINT s",
        "RELEASE s",
        "SET client_min_messages = 'warning'",
        "SET LOCAL statement_timeout TO 100",
        "SET search_path = public, pg_catalog",
        "SET TIME ZONE 'Europe/Berlin'",
        "SET pyql.consistency = 'quorum'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET CONSTRAINTS ALL DEFERRED",
        "SHOW TRANSACTION ISOLATION LEVEL",
        "RESET ALL",
        "DISCARD ALL",
        "PREPARE p (int) AS SELECT $1",
        "EXECUTE p (1 + 2, 'x')",
        "DEALLOCATE ALL",
        "DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT 1",
        "FETCH FORWARD 5 FROM c",
        "MOVE ALL IN c",
        "FETCH BACKWARD ALL c",
        "FETCH BACKWARD 3 IN c",
        "FETCH ABSOLUTE -2 FROM c",
        "FETCH RELATIVE 0 c",
        "FETCH PRIOR FROM c",
        "FETCH -5 c",
        "FETCH next",
        "UNLISTEN *",
        "CREATE INDEX ON t (a text_pattern_ops DESC, b varchar_pattern_ops)",
        "CLOSE c",
        "LOCK TABLE ONLY t IN ACCESS EXCLUSIVE MODE NOWAIT",
        "EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "CREATE USER u WITH PASSWORD 'x' SUPERUSER",
        "ALTER ROLE u PASSWORD 'y'",
        "DROP USER IF EXISTS u",
        "CREATE DATABASE d OWNER u ENCODING 'UTF8'",
        "DROP DATABASE IF EXISTS d WITH (FORCE)",
        "GRANT CONNECT ON DATABASE d TO u",
        "REVOKE ALL PRIVILEGES ON DATABASE d FROM u CASCADE",
        "CREATE SEQUENCE IF NOT EXISTS s INCREMENT 1 START 1 CACHE 10 NO CYCLE",
        "DROP INDEX CONCURRENTLY IF EXISTS i",
        "TRUNCATE TABLE a, b RESTART IDENTITY CASCADE",
        "create table pgbench_history(tid int,bid int,aid int,delta int,mtime timestamp,filler char(22))",
        "create table pgbench_tellers(tid int not null,bid int,filler char(84)) with (fillfactor=100)",
        "alter table pgbench_branches add primary key (bid)",
        "SELECT a FROM t WHERE b OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default",
        "SELECT CASE WHEN a THEN 1 END, a::pg_catalog.text, ((SELECT 1) + 1), ((SELECT 1) UNION SELECT 2)",
        "SELECT * FROM ((SELECT 1) UNION ALL (SELECT 2)) AS x, (a JOIN b ON true) LEFT JOIN c USING (d)",
        "SELECT a FROM t FOR NO KEY UPDATE OF t NOWAIT",
        "SELECT date '2020-01-01', timestamp with time zone '2020-01-01', double precision '1'",
    ];
    for sql in accepted {
        assert!(parse(sql).is_ok(), "{sql}: {:?}", parse(sql));
    }
}

#[test]
fn refusals_name_the_construct() {
    let cases = [
        (
            "MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE",
            "MERGE is not supported",
        ),
        ("CREATE VIEW v AS SELECT 1", "CREATE VIEW is not supported"),
        (
            "CREATE TEMP TABLE t (a int)",
            "a temporary table is not supported",
        ),
        ("SELECT B'101'", "a bit string literal is not supported"),
    ];
    for (sql, message) in cases {
        let error = parse(sql).unwrap_err();
        assert_eq!(error.state(), SqlState::FEATURE_NOT_SUPPORTED, "{sql}");
        assert_eq!(error.message(), message, "{sql}");
    }
}

/// On a stack as small as a runtime's worker has.
#[test]
fn depth_is_bounded() {
    let deep = |open: &str, middle: &str, close: &str, count: usize| {
        format!(
            "SELECT {}{middle}{}",
            open.repeat(count),
            close.repeat(count)
        )
    };
    let texts = [
        deep("(", "1", ")", 100_000),
        deep("- ", "1", "", 100_000),
        deep("NOT ", "true", "", 100_000),
        deep("", "1", " + 1", 100_000),
        deep("", "1", "::int", 100_000),
        deep("ARRAY[", "1", "]", 100_000),
        deep("CASE WHEN true THEN ", "1", " END", 100_000),
        deep("(SELECT ", "1", ")", 100_000),
        deep("", "1", " UNION SELECT 1", 100_000),
        format!("SELECT * FROM a{}", " JOIN b ON true".repeat(100_000)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(100_000)),
    ];
    let run = move || {
        for text in &texts {
            let error = parse(text).unwrap_err();
            let states = [SqlState::STATEMENT_TOO_COMPLEX, SqlState::SYNTAX_ERROR];
            assert!(
                states.contains(&error.state()),
                "{}: {error:?}",
                &text[..40]
            );
        }
        // A flat list of conditions is not deep.
        assert!(parse(&deep("", "true", " OR true", 50_000)).is_ok());
    };
    let thread = std::thread::Builder::new().stack_size(crate::runtime::STACK_BYTES);
    thread.spawn(run).unwrap().join().unwrap();
}

proptest::proptest! {
    #[test]
    fn rubbish_is_refused_without_panic(text in "[ -~\\n]{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn shuffled_words_are_refused_without_panic(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "select", "from", "t", "(", ")", ",", "1", "'x'", "join", "on", "=", "with", "as", "in",
            "not", "between", "and", "case", "when", "then", "end", "insert", "into", "values", "::",
            "int", "[", "]", "order", "by", "limit", "union", "all", "interval", "is", "null", ".",
            "*", "-", "$1", "over", "create", "table", "alter", "add", "drop", "copy", "set",
        ]), 0..25)
    ) {
        let _ = parse(&words.join(" "));
    }
}
