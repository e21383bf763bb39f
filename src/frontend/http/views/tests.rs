//! The views over a small catalog, and sharing.

use serde_json::{Value as JsonValue, json};
use uuid::Uuid;

use super::share::sharing;
use super::*;
use crate::auth::password::verifier;
use crate::catalog::{
    Cluster, EngineKind, Node, Place, Replica, ReplicaState, TokenKey, User, UserKind,
};
use crate::frontend::http::rows::Change;
use crate::types::id::{ClusterId, Index, NodeId, ReplicaId, UserId};

const ADMIN: u128 = 1;
const DEMO: u128 = 3;
const DEMO_SERVICE: u128 = 4;
const COMPANY: u128 = 50;

fn user(id: u128, name: &str, kind: UserKind, parent: Option<u128>) -> Arc<User> {
    Arc::new(User {
        id: UserId(Uuid::from_u128(id)),
        name: name.to_owned(),
        email: None,
        kind,
        parent: parent.map(|parent| UserId(Uuid::from_u128(parent))),
        verifier: Some(verifier("secret password", b"salt")),
    })
}

fn replica(number: u64, state: ReplicaState) -> Replica {
    Replica {
        id: ReplicaId(number),
        endpoint: Uuid::from_u128(500 + u128::from(number)),
        engine: EngineKind::Sqlite,
        place: Place::Embedded(NodeId(1)),
        state,
        incarnation: None,
        since: Index(3),
        lost_votes_at: Vec::new(),
        reason: Some("the disk is full".to_owned()),
    }
}

fn catalog(last: ReplicaState) -> Catalog {
    let mut catalog = Catalog {
        token_key: Some(TokenKey(b"secret key".to_vec())),
        system_cluster: Some(ClusterId(Uuid::from_u128(99))),
        ..Catalog::default()
    };
    for user in [
        user(ADMIN, "admin", UserKind::Admin, None),
        user(DEMO, "demo", UserKind::User, None),
        user(DEMO_SERVICE, "", UserKind::Service, Some(DEMO)),
    ] {
        Arc::make_mut(&mut catalog.users).insert(user.id, user);
    }
    let node = Node {
        id: NodeId(1),
        name: "node".to_owned(),
        address: "127.0.0.1:80".to_owned(),
        boot: None,
    };
    catalog.nodes.insert(node.id, node);
    let replicas = [replica(1, ReplicaState::InSync), replica(2, last)];
    let company = Cluster {
        id: ClusterId(Uuid::from_u128(COMPANY)),
        name: "company".to_owned(),
        owner: UserId(Uuid::from_u128(DEMO)),
        access: Vec::new(),
        created: "2026-11-22".to_owned(),
        created_by: "node".to_owned(),
        schema: Arc::new(Schema::empty()),
        counters: Default::default(),
        replicas: replicas.into_iter().map(|it| (it.id, it)).collect(),
        settled: None,
        voids: Default::default(),
        undo: None,
        voided_versions: Vec::new(),
        born: Index(1),
        last_write: Index(9),
    };
    catalog.clusters.insert(company.id, Arc::new(company));
    catalog
}

fn shown(view: View, wanted: &Wanted<'_>, catalog: &Catalog) -> JsonValue {
    let text = answer(view, wanted, catalog).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn no_view_shows_a_secret() {
    for view in View::ALL {
        let text = answer(view, &Wanted::All, &catalog(ReplicaState::InSync)).unwrap();
        for secret in ["secret", "salt", "storedkey"] {
            assert!(!text.to_lowercase().contains(secret), "{view:?}: {text}");
        }
        assert!(text.starts_with("{\"data\":["), "{view:?}");
    }
}

#[test]
fn views_show_what_is() {
    let catalog = catalog(ReplicaState::Copying);
    let id = |number| Uuid::from_u128(number).to_string();
    let users = Json::parse(
        br#"{"select":["username","parent"],"where":[["type","in",["user","service"]]]}"#,
    );
    assert_eq!(
        shown(View::Auth, &Wanted::Some(&users.unwrap()), &catalog),
        json!({"data": [
            {"username": "demo", "parent": null},
            {"username": "", "parent": id(DEMO)},
        ]})
    );
    let key = id(COMPANY);
    assert_eq!(
        shown(View::Clusters, &Wanted::Key(&key), &catalog),
        json!({"data": [{
            "id": id(COMPANY), "name": "company", "owner": id(DEMO),
            "access": {"allow": [id(DEMO)]}, "key": null,
            "created_by_endpoint": "node", "create_date": "2026-11-22",
        }]})
    );
    assert_eq!(
        shown(View::Jobs, &Wanted::All, &catalog)["data"][0]["status"],
        "running"
    );
    assert_eq!(
        answer(View::Transactions, &Wanted::All, &catalog)
            .unwrap_err()
            .body["code"],
        "0A000"
    );
}

#[test]
fn sharing_names_users() {
    let catalog = catalog(ReplicaState::InSync);
    let id = |number| Uuid::from_u128(number).to_string();
    let share = |set: JsonValue, condition: JsonValue| {
        let body = json!({"set": set, "where": condition}).to_string();
        let body = Json::parse(body.as_bytes()).unwrap();
        sharing(&catalog, &Change::Update, &body).map_err(|error| error.state().to_string())
    };
    let allow = |users: &[u128]| {
        let users: Vec<String> = users.iter().map(|user| id(*user)).collect();
        json!({"access": {"allow": users}})
    };
    let company = ClusterId(Uuid::from_u128(COMPANY));
    let admin = UserId(Uuid::from_u128(ADMIN));
    let by_name = || json!({"name": "company"});
    assert_eq!(
        share(allow(&[DEMO_SERVICE, ADMIN, ADMIN]), by_name()),
        Ok(vec![(company, vec![admin])])
    );
    let as_text = json!({"access": allow(&[]).get("access").unwrap().to_string()});
    assert_eq!(share(as_text, by_name()), Ok(vec![(company, Vec::new())]));
    assert_eq!(share(allow(&[]), json!({"name": "other"})), Ok(Vec::new()));
    for (set, condition, state) in [
        (allow(&[77]), by_name(), "42704"),
        (allow(&[ADMIN]), json!({}), "42601"),
        (json!({"owner": id(ADMIN)}), by_name(), "42601"),
        (json!({"access": {}}), by_name(), "22023"),
        (json!({"access": {"allow": ["x"]}}), by_name(), "22023"),
        (json!({"access": "x"}), by_name(), "22023"),
    ] {
        assert_eq!(share(set, condition), Err(state.to_owned()));
    }
}
