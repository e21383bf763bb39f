//! The REST contract: what the original answered, replayed against a node.
//!
//! The golden files were recorded from the original; [`deviations`] lists where
//! the contract asks for another answer. The tables they read are made over
//! REST first, in a data cluster of a new user.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use serde_json::{Map, Value, json};

/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const JOINS: &str = include_str!("rest/rest_join.json");
const DATA: &str = include_str!("rest/cluster_data_one_endpoint.json");
const PASSWORD: &str = "abcd1234";

/// What, in whose name, the request, the answer's status and a member of it, the body.
const ROUTES: &str = r#"
quorum with Basic | admin | GET /pyql/quorum | 403 error |
quorum check | admin | POST /pyql/quorum/check | 200 results |
quorum check by a user | user | POST /pyql/quorum/check | 403 error |
paths | admin | GET /cluster/{company}/table/employees/path | 200 in_sync |
paths by a user | user | GET /cluster/{company}/table/employees/path | 403 error |
paths by a name | admin | GET /cluster/company/table/employees/path | 400 error |
count | admin | GET /cluster/{company}/tablelogs/employees/{endpoint}/count | 200 availableTxns |
all logs | admin | GET /cluster/{company}/tablelogs/employees/{endpoint}/getAll | 501 error |
state | admin | POST /cluster/{company}/table/employees/state/{endpoint} | 200 message | {"in_sync": true}
state by a user | user | POST /cluster/{company}/table/employees/state/{endpoint} | 403 error | {"in_sync": true}
wrong state | admin | POST /cluster/{company}/table/employees/state/{endpoint} | 400 error | {}
repair | admin | POST /cluster/{company}/table/employees/state/{endpoint} | 200 message | {"in_sync": false, "state": "new"}
jobs | admin | POST /cluster/jobqueue/job | 200 message |
internal jobs | local | GET /internal/jobs | 200 jobs |
internal jobs by an admin | admin | GET /internal/jobs | 403 error |
join sample | join | GET /cluster/x/join | 200 database |
join | join | POST /cluster/x/join | 501 error | {"name": "a", "path": "b:80", "token": "c", "database": {"name": "d", "uuid": "e"}}
join without fields | join | POST /cluster/x/join | 400 error | {}
no route | user | GET /nope | 404 error |
a table twice | user | POST /cluster/company/table/create | 400 error | {"stocks": {"columns": [{"name": "id", "type": "int", "mods": ""}], "primary_key": "id"}}
a reserved cluster | user | POST /cluster/pyql/create | 400 error |
a view is read only | admin | POST /cluster/pyql/table/auth/insert | 403 message | {}
views are for admins | user | GET /cluster/pyql/table/auth | 404 warning |
where as text | user | POST /cluster/company/table/employees/update | 400 details | {"set": {"name": "x"}, "where": "id=1"}
an empty where | user | POST /cluster/company/table/employees/update | 400 details | {"set": {"name": "x"}, "where": {}}
a foreign key | user | POST /cluster/company/table/employees | 400 details | {"id": 7, "position_id": 1}
a key of many digits | user | GET /cluster/company/table/employees/99999999999999999999 | 400 message |
"#;

/// Replays everything against a fresh node at `base` (`http://host:port`),
/// whose admin has this name and password. Gives what differed.
pub(crate) async fn run(base: &str, admin: (&str, &str)) -> Vec<String> {
    // Another test of this process may have chosen the same provider already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::builder()
        .timeout(ANSWER_LIMIT)
        .build()
        .expect("the client's settings are good");
    let mut replay = Replay {
        client,
        base: base.to_owned(),
        admin: basic(admin.0, admin.1),
        user: basic("aNewUser", PASSWORD),
        other: basic("admin2", PASSWORD),
        user_token: String::new(),
        join_token: String::new(),
        admin_token: String::new(),
        company: String::new(),
        wrong: Vec::new(),
    };
    replay.prepare().await;
    if replay.wrong.is_empty() {
        replay.golden(JOINS).await;
        replay.golden(DATA).await;
        replay.authentication().await;
        replay.values().await;
        replay.system().await;
        replay.sharing().await;
    }
    replay.wrong
}

struct Replay {
    client: Client,
    base: String,
    admin: String,
    user: String,
    other: String,
    user_token: String,
    join_token: String,
    admin_token: String,
    /// The data cluster's uuid.
    company: String,
    wrong: Vec<String>,
}

/// What is sent, and in whose name.
struct Ask<'a> {
    method: &'a str,
    path: &'a str,
    auth: Option<&'a str>,
    body: Option<String>,
}

impl<'a> Ask<'a> {
    fn get(path: &'a str, auth: &'a str) -> Ask<'a> {
        Ask {
            method: "GET",
            path,
            auth: Some(auth),
            body: None,
        }
    }

    fn post(path: &'a str, auth: &'a str, body: &Value) -> Ask<'a> {
        Ask {
            method: "POST",
            path,
            auth: Some(auth),
            body: Some(body.to_string()),
        }
    }
}

impl Replay {
    async fn send(&self, ask: &Ask<'_>) -> (u16, Value) {
        let method = Method::from_bytes(ask.method.as_bytes()).expect("a known method");
        let mut request = self
            .client
            .request(method, format!("{}{}", self.base, ask.path));
        if let Some(auth) = ask.auth {
            request = request.header("Authentication", auth);
        }
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return (0, json!(error.to_string())),
        };
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_default();
        match serde_json::from_str(&text) {
            Ok(body) => (status, body),
            Err(_) => (status, json!({ "not JSON": text })),
        }
    }

    fn check(&mut self, name: &str, expected: &(u16, Value), actual: &(u16, Value)) {
        if expected != actual {
            self.wrong.push(format!(
                "{name}\n  expected {expected:?}\n  got      {actual:?}"
            ));
        }
    }

    /// Checks the status, and that the body has a member.
    async fn expect(&mut self, name: &str, ask: Ask<'_>, status: u16, member: &str) -> Value {
        let answer = self.send(&ask).await;
        if answer.0 != status || answer.1.get(member).is_none() {
            self.wrong.push(format!(
                "{name}\n  expected {status} with {member}\n  got      {answer:?}"
            ));
        }
        answer.1
    }

    async fn prepare(&mut self) {
        let (admin, user) = (self.admin.clone(), self.user.clone());
        for (kind, name) in [("user", "aNewUser"), ("admin", "admin2")] {
            let body = json!({"username": name, "email": format!("{name}@company.com"), "password": PASSWORD});
            let path = format!("/auth/{kind}/register");
            let ask = Ask::post(&path, &admin, &body);
            self.expect("register", ask, 201, "message").await;
        }
        let create = Ask::post("/cluster/company/create", &user, &Value::Null);
        self.expect("create cluster", create, 201, "message").await;
        for table in tables() {
            let ask = Ask::post("/cluster/company/table/create", &user, &table);
            self.expect("create table", ask, 200, "message").await;
        }
        for (table, rows) in rows() {
            for row in rows {
                let path = format!("/cluster/company/table/{table}/insert");
                let ask = Ask::post(&path, &user, &row);
                self.expect("insert", ask, 200, "consistency").await;
            }
        }
        let text = |value: &Value| format!("Token {}", value.as_str().unwrap_or_default());
        let token = Ask::get("/auth/token/user", &user);
        self.user_token = text(&self.expect("user token", token, 200, "token").await["token"]);
        let token = Ask::get("/auth/token/user", &admin);
        self.admin_token = text(&self.expect("admin token", token, 200, "token").await["token"]);
        let token = Ask::get("/auth/token/join", &user);
        self.join_token = text(&self.expect("join token", token, 200, "join").await["join"]);
        self.company = self.company_of("aNewUser").await;
    }

    /// The uuid of a user's cluster `company`: others may have one of that name.
    async fn company_of(&mut self, user: &str) -> String {
        let admin = self.admin.clone();
        let body = json!({"select": ["id"], "where": {"username": user}});
        let ask = Ask::post("/cluster/pyql/table/auth/select", &admin, &body);
        let users = self.expect("auth", ask, 200, "data").await;
        let owner = users["data"][0]["id"].clone();
        let body = json!({"select": ["id"], "where": {"owner": owner, "name": "company"}});
        let ask = Ask::post("/cluster/pyql/table/clusters/select", &admin, &body);
        let clusters = self.expect("cluster by owner", ask, 200, "data").await;
        let id = clusters["data"][0]["id"].as_str();
        id.unwrap_or_default().to_owned()
    }

    /// Replays one golden file in its order.
    async fn golden(&mut self, file: &str) {
        let file: Value = serde_json::from_str(file).expect("golden files are JSON");
        for exchange in file["exchanges"].as_array().expect("a list of exchanges") {
            let name = exchange["name"].as_str().unwrap_or_default();
            if skipped(name) {
                continue;
            }
            let request = &exchange["request"];
            let path = request["path"]
                .as_str()
                .unwrap_or_default()
                .replace("/db/company/", "/cluster/company/")
                .replace("<company-uuid>", &self.company);
            let auth = self.credentials(name, request);
            let body = match (&request["body"], &request["body_raw"]) {
                (Value::Null, Value::String(raw)) => Some(raw.clone()),
                (Value::Null, _) => None,
                (body, _) => Some(body.to_string()),
            };
            let ask = Ask {
                method: request["method"].as_str().unwrap_or_default(),
                path: &path,
                auth: auth.as_deref(),
                body,
            };
            match deviations(name) {
                Some((status, member)) => {
                    self.expect(name, ask, status, member).await;
                }
                None => {
                    let answer = self.send(&ask).await;
                    let status = exchange["response"]["status"].as_u64().unwrap_or_default();
                    let expected = (status as u16, normal(&exchange["response"]["body"]));
                    self.check(name, &expected, &(answer.0, normal(&answer.1)));
                }
            }
        }
    }

    /// The credentials that a recorded request stands for.
    fn credentials(&self, name: &str, request: &Value) -> Option<String> {
        let header = request["headers"]["Authentication"].as_str()?;
        let known = match name {
            "tables with the join token" => &self.join_token,
            "table GET by another user" => &self.other,
            "table GET by the admin" => &self.admin,
            _ if name.starts_with("pyql: ") || name.ends_with("of a data table") => {
                &self.admin_token
            }
            _ if header.starts_with("Basic ") => &self.user,
            _ => &self.user_token,
        };
        Some(known.clone())
    }

    /// The faults of section 2 that must not come back.
    async fn authentication(&mut self) {
        let path = "/cluster/company/tables";
        let wrong = basic("aNewUser", "abcd1235");
        let unknown = basic("nobody", PASSWORD);
        let plain = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let cases = [
            ("wrong password", wrong, 401),
            ("unknown user", unknown, 401),
            ("no newline", plain("aNewUser:abcd1234"), 200),
            ("the user's token", self.user_token.clone(), 200),
            ("no colon", plain("aNewUser"), 400),
            ("another scheme", "Bearer x".to_owned(), 401),
            ("no token", "Token x".to_owned(), 401),
            ("nothing after Basic", "Basic".to_owned(), 401),
            ("a join token", self.join_token.clone(), 401),
        ];
        for (name, auth, status) in cases {
            let answer = self.send(&Ask::get(path, &auth)).await;
            if answer.0 != status {
                self.wrong.push(format!("{name}: {answer:?}"));
            }
        }
        let (user, admin) = (self.user.clone(), self.admin.clone());
        let body = json!({"username": "x", "email": "x@y.z", "password": PASSWORD});
        let ask = Ask::post("/auth/user/register", &user, &body);
        self.expect("register by a user", ask, 403, "error").await;
        let taken = json!({"username": "aNewUser", "email": "x@y.z", "password": PASSWORD});
        let ask = Ask::post("/auth/user/register", &admin, &taken);
        self.expect("taken username", ask, 400, "error").await;
        let taken = json!({"username": "x", "email": "aNewUser@company.com", "password": PASSWORD});
        let ask = Ask::post("/auth/user/register", &admin, &taken);
        self.expect("taken email", ask, 400, "error").await;
        let short = json!({"username": "x", "email": "x@y.z", "password": "abc"});
        let ask = Ask::post("/auth/user/register", &admin, &short);
        self.expect("short password", ask, 400, "error").await;
        let users = Ask::get("/cluster/pyql/table/auth", &admin);
        let users = self.expect("users", users, 200, "data").await;
        let secrets = users["data"].as_array().into_iter().flatten();
        if secrets.into_iter().any(|user| !user["password"].is_null()) {
            self.wrong.push("table auth shows passwords".to_owned());
        }
        let ask = Ask::post("/cluster/company/create", &user, &Value::Null);
        self.expect("cluster twice", ask, 400, "error").await;
        let ask = Ask::get("/cluster/pyql/ready", "");
        self.expect("ready", ask, 200, "inQuorum").await;
    }

    /// What is written comes back, whatever the original made of it.
    async fn values(&mut self) {
        let user = self.user.clone();
        let table = "/cluster/company/table/stocks";
        let rows = [
            json!({"order_num": 501, "trans": "it's \"quoted\"; {not json}", "qty": 9_007_199_254_740_993_i64}),
            json!({"order_num": 502, "trans": [1, {"a": "b"}], "after_hours": null}),
            json!({"order_num": 503, "trans": "NULL", "price": "5", "qty": "7", "after_hours": 0}),
            json!({"order_num": 504, "trans": {"z": 1, "a": {}}, "price": 1e300}),
            json!({"order_num": 505, "trans": "x'); DELETE FROM stocks; --"}),
        ];
        for row in &rows {
            let ask = Ask::post(table, &user, row);
            self.expect("insert", ask, 200, "consistency").await;
        }
        let body = json!({"select": ["order_num", "trans", "qty", "price", "after_hours"],
            "where": [["order_num", ">", 500]]});
        let path = format!("{table}/select");
        let answer = self.send(&Ask::post(&path, &user, &body)).await;
        let expected = json!({"data": [
            {"order_num": 501, "trans": "it's \"quoted\"; {not json}", "qty": 9_007_199_254_740_993_i64, "price": null, "after_hours": null},
            {"order_num": 502, "trans": [1, {"a": "b"}], "qty": null, "price": null, "after_hours": null},
            {"order_num": 503, "trans": "NULL", "qty": 7, "price": 5.0, "after_hours": false},
            {"order_num": 504, "trans": {"z": 1, "a": {}}, "qty": null, "price": 1e300, "after_hours": null},
            {"order_num": 505, "trans": "x'); DELETE FROM stocks; --", "qty": null, "price": null, "after_hours": null},
        ]});
        let expected = (200, normal(&expected));
        self.check("values", &expected, &(answer.0, normal(&answer.1)));
        let injection = json!({"select": ["order_num"], "where": {"trans": "x' OR '1'='1"}});
        let answer = self.send(&Ask::post(&path, &user, &injection)).await;
        self.check("injection", &(200, json!({"data": []})), &answer);
        for row in [
            json!({"qty": 1.5}),
            json!({"qty": "abc"}),
            json!({"after_hours": "maybe"}),
        ] {
            let ask = Ask::post(table, &user, &row);
            self.expect("a value that does not fit", ask, 400, "details")
                .await;
        }
    }
}

impl Replay {
    /// What a node says of itself, and to whom.
    async fn system(&mut self) {
        let admin = self.admin.clone();
        let member = "PYQL_LOCAL_SERVICE_TOKEN";
        let token = Ask::get("/auth/token/local", &admin);
        let token = self.expect("local token", token, 200, member).await;
        let local = format!("Token {}", token[member].as_str().unwrap_or_default());
        let node = Ask::get("/pyql/node", "");
        let node = self.expect("node", node, 200, "uuid").await["uuid"].clone();
        let quorum = Ask::get("/pyql/quorum", &local);
        let quorum = self.expect("quorum", quorum, 200, "ready").await;
        if quorum["node"] != node || quorum["nodes"]["nodes"] != json!([node]) {
            self.wrong
                .push(format!("the quorum of node {node}: {quorum}"));
        }
        let path = format!("/cluster/{}/table/employees/endpoints", self.company);
        let endpoints = Ask::get(&path, &admin);
        let endpoints = self
            .expect("endpoints", endpoints, 200, "clusterName")
            .await;
        let endpoint = endpoints["in_sync"]
            .as_object()
            .and_then(|map| map.keys().next().cloned())
            .unwrap_or_default();
        for line in ROUTES.lines().filter(|line| !line.is_empty()) {
            let line = line
                .replace("{company}", &self.company)
                .replace("{endpoint}", &endpoint);
            self.route(&line, &local).await;
        }
    }

    /// One line of [`ROUTES`].
    async fn route(&mut self, line: &str, local: &str) {
        let mut fields = line.split('|').map(str::trim);
        let mut field = || fields.next().unwrap_or_default();
        let (name, who, request, answer, body) = (field(), field(), field(), field(), field());
        let (method, path) = request.split_once(' ').unwrap_or_default();
        let (status, member) = answer.split_once(' ').unwrap_or_default();
        let auth = match who {
            "admin" => self.admin.clone(),
            "join" => self.join_token.clone(),
            "local" => local.to_owned(),
            _ => self.user.clone(),
        };
        let ask = Ask {
            method,
            path,
            auth: Some(&auth),
            body: (!body.is_empty()).then(|| body.to_owned()),
        };
        let status = status.parse().unwrap_or_default();
        self.expect(name, ask, status, member).await;
    }

    /// Others see a cluster once it is shared, and no longer when it is not.
    async fn sharing(&mut self) {
        let (admin, other) = (self.admin.clone(), self.other.clone());
        let body = json!({"select": ["id"], "where": {"username": "admin2"}});
        let ask = Ask::post("/cluster/pyql/table/auth/select", &admin, &body);
        let found = self.expect("admin2", ask, 200, "data").await;
        let id = found["data"][0]["id"].clone();
        let path = format!("/cluster/pyql/table/clusters/{}", self.company);
        let tables = "/cluster/company/tables";
        for (allow, status, member) in
            [(json!([id]), 200, "employees"), (json!([]), 404, "warning")]
        {
            let share = json!({"access": {"allow": allow}});
            self.expect(
                "share",
                Ask::post(&path, &admin, &share),
                200,
                "consistency",
            )
            .await;
            self.expect("shared", Ask::get(tables, &other), status, member)
                .await;
        }
    }
}

/// Where the contract asks for another answer than the recorded one: the
/// status, and a member that the body must have.
fn deviations(name: &str) -> Option<(u16, &'static str)> {
    Some(match name {
        "tables with the join token" => (401, "error"),
        "table GET by another user" | "table GET by the admin" | "unknown cluster" => {
            (404, "warning")
        }
        "config unknown table"
        | "table GET unknown"
        | "select unknown table"
        | "key GET unknown table"
        | "insert unknown table"
        | "update unknown table"
        | "key DELETE unknown table"
        | "join: unknown table" => (404, "message"),
        "select missing" => (400, "warning"),
        "select unknown column" | "select unknown where column" | "key GET word" => {
            (400, "message")
        }
        "select bad JSON" | "select empty body" | "insert bad JSON" | "update bad JSON" => {
            (400, "error")
        }
        "insert bad JSON on the table route" => (400, "message"),
        "select no content type" => (200, "data"),
        "insert no content type" | "update int to null" => (200, "consistency"),
        "insert README keys (afterHours)"
        | "insert duplicate key"
        | "insert missing NOT NULL"
        | "insert unknown column"
        | "insert array"
        | "key POST unknown column"
        | "update no where"
        | "delete no where"
        | "delete empty where"
        | "delete unknown column" => (400, "details"),
        "key PUT" => (405, "error"),
        "pyql: clusters row of the data cluster" | "pyql: tables rows" | "pyql: state" => {
            (200, "data")
        }
        "endpoints of a data table" | "path of a data table" => (200, "in_sync"),
        "join: by foreign key, unprefixed own column"
        | "join: where unprefixed ambiguous"
        | "join: reverse direction without key"
        | "join: table without any key"
        | "join: unknown column"
        | "join: no dot"
        | "join: list" => (400, "message"),
        _ => return None,
    })
}

/// Not ours: pausing tables, and tokens of services.
fn skipped(name: &str) -> bool {
    name == "table GET by service token" || name.starts_with("paused table: ")
}

/// A body without what the contract leaves free: how many endpoints there are,
/// the inner status, and SQLite's spelling of mods.
fn normal(body: &Value) -> Value {
    match body {
        Value::Object(members) => {
            let mut out = Map::new();
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("message", Value::Object(map)) if map.values().all(is_endpoint) => {
                        let first = map.values().next().cloned().unwrap_or_default();
                        let mut first = normal(&first);
                        if let Some(inner) = first.pointer_mut("/content/message")
                            && let Some(inner) = inner.as_object_mut()
                        {
                            inner.remove("status");
                        }
                        out.insert("message".to_owned(), first);
                    }
                    ("mods", Value::String(mods)) => {
                        let mods = match mods.as_str() {
                            "PRIMARY KEY NOT NULL" => "NOT NULL",
                            "PRIMARY KEY AUTOINCREMENT" => "NOT NULL AUTO_INCREMENT",
                            other => other,
                        };
                        out.insert("mods".to_owned(), json!(mods));
                    }
                    _ => {
                        out.insert(name.clone(), normal(value));
                    }
                }
            }
            Value::Object(out)
        }
        Value::Array(list) => Value::Array(list.iter().map(normal).collect()),
        // Floats may be spelled in several ways; whole numbers must be exact.
        Value::Number(number) if number.as_i64().is_none() => json!(number.as_f64()),
        other => other.clone(),
    }
}

fn is_endpoint(value: &Value) -> bool {
    value.get("content").is_some() && value.get("status").is_some()
}

/// As `echo user:password | base64` makes it.
fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}\n")))
}

/// The README's tables.
fn tables() -> Vec<Value> {
    let column = |name: &str, ty: &str, mods: &str| json!({"name": name, "type": ty, "mods": mods});
    let parent = |table: &str| json!({"table": table, "ref": "id", "mods": "ON DELETE CASCADE ON UPDATE CASCADE"});
    vec![
        json!({"departments": {
            "columns": [column("id", "int", "NOT NULL"), column("name", "str", "")],
            "primary_key": "id", "foreign_keys": null,
        }}),
        json!({"positions": {
            "columns": [column("id", "int", "NOT NULL"), column("name", "str", ""),
                column("department_id", "int", "DEFAULT NULL")],
            "primary_key": "id", "foreign_keys": {"department_id": parent("departments")},
        }}),
        json!({"employees": {
            "columns": [column("id", "int", "NOT NULL"), column("name", "str", ""),
                column("position_id", "int", "")],
            "primary_key": "id", "foreign_keys": {"position_id": parent("positions")},
        }}),
        json!({"stocks": {
            "columns": [column("order_num", "int", "NOT NULL AUTO_INCREMENT"),
                column("date", "str", ""), column("trans", "str", ""),
                column("symbol", "str", ""), column("qty", "int", ""),
                column("price", "float", ""), column("after_hours", "bool", "")],
            "primary_key": "order_num", "foreign_keys": null,
        }}),
    ]
}

/// The README's rows.
fn rows() -> Vec<(&'static str, Vec<Value>)> {
    let departments = [
        (1001, "HR"),
        (2001, "Sales"),
        (3001, "Support"),
        (4001, "Marketing"),
    ];
    let roles = [(1, "Director"), (2, "Manager"), (3, "Rep"), (4, "Intern")];
    let employees = [
        (1000, "Clara Franklin", 100_101),
        (1001, "Eli Carson", 100_102),
        (1002, "Joe Smith", 100_102),
        (1003, "Jane Doe", 200_101),
        (1004, "Dale Wallace", 300_101),
        (1005, "Jill Carson", 400_101),
    ];
    let mut positions = Vec::new();
    for (department, _) in departments {
        for (number, name) in roles {
            let id = department / 1000 * 100_000 + 100 + number;
            positions.push(json!({"id": id, "name": name, "department_id": department}));
        }
    }
    let departments = departments.map(|(id, name)| json!({"id": id, "name": name}));
    let employees =
        employees.map(|(id, name, at)| json!({"id": id, "name": name, "position_id": at}));
    vec![
        ("departments", departments.to_vec()),
        ("positions", positions),
        ("employees", employees.to_vec()),
    ]
}
