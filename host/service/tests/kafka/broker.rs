//! Apache Kafka on loopback: started, killed and restarted by the tests, stopped when dropped.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aquatope_service::config::{Kafka, Security};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataPartition;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tempfile::TempDir;

/// Nodes that are brokers and controllers (KRaft), with their data in a temporary folder.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    folder: TempDir,
}

struct Node {
    port: u16,
    /// Of the listener that asks for a password.
    sasl_port: u16,
    process: Option<Child>,
}

/// Who may use the listener that asks for a password.
pub(crate) const USER: &str = "aquatope";
/// Another one, for whom there may be rules ([`Cluster::let_only_write`]).
pub(crate) const DEAF: &str = "deaf";
/// Of both of them.
pub(crate) const PASSWORD: &str = "open-sesame";
/// Of the file with the brokers' key.
const KEY_PASSWORD: &str = "changeit";

/// Starting takes about three seconds; on a busy machine much longer.
const PATIENCE: Duration = Duration::from_secs(300);

impl Cluster {
    /// Start `nodes` of them and wait until they serve.
    pub(crate) fn start(nodes: usize) -> Self {
        let mut cluster = Self::prepare(nodes);
        (0..nodes).for_each(|node| cluster.spawn(node));
        cluster.wait(nodes);
        cluster
    }

    /// Choose ports and write configurations, without starting anything.
    pub(crate) fn prepare(nodes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports = free_ports(3 * nodes);
        let (ports, others) = ports.split_at(nodes);
        let (controllers, sasl_ports) = others.split_at(nodes);
        let voters: Vec<String> =
            controllers.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{port}")).collect();
        let log = "log4j.rootLogger=WARN, out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n\
                   log4j.appender.out.layout=org.apache.log4j.PatternLayout\n\
                   log4j.appender.out.layout.ConversionPattern=%d %p %c %m%n\n";
        fs::write(folder.path().join("log4j.properties"), log).unwrap();
        make_certificate(folder.path());
        for (at, (port, controller)) in ports.iter().zip(controllers).enumerate() {
            let (id, sasl_port) = (at + 1, sasl_ports[at]);
            let data = folder.path().join(format!("data{at}"));
            let replicas = nodes.min(3);
            fs::create_dir(&data).unwrap();
            // What `kafka-storage format` writes, without a Java process for it.
            let formatted = format!("version=1\nnode.id={id}\ncluster.id=aquatope-tests-0000000\n");
            fs::write(data.join("meta.properties"), formatted).unwrap();
            let properties = format!(
                "process.roles=broker,controller\nnode.id={id}\ncontroller.quorum.voters={}\n\
                 listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{sasl_port},\
                 CONTROLLER://127.0.0.1:{controller}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{sasl_port}\n\
                 controller.listener.names=CONTROLLER\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,\
                 SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT\nsasl.enabled.mechanisms=PLAIN\n\
                 listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.\
                 PlainLoginModule required user_{USER}=\"{PASSWORD}\" user_{DEAF}=\"{PASSWORD}\";\n\
                 listener.name.sasl_ssl.ssl.keystore.type=PKCS12\n\
                 listener.name.sasl_ssl.ssl.keystore.location={}\n\
                 listener.name.sasl_ssl.ssl.keystore.password={KEY_PASSWORD}\n\
                 authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
                 super.users=User:ANONYMOUS\nallow.everyone.if.no.acl.found=true\nlog.dirs={}\n\
                 default.replication.factor={replicas}\noffsets.topic.replication.factor={replicas}\noffsets.topic.num.partitions=1\n\
                 transaction.state.log.replication.factor={replicas}\ntransaction.state.log.min.isr=1\n\
                 transaction.state.log.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n\
                 auto.create.topics.enable=false\nbroker.session.timeout.ms=6000\nnum.network.threads=2\n\
                 num.io.threads=2\nlog.retention.check.interval.ms=500\nlog.segment.delete.delay.ms=100\n\
                 log.initial.task.delay.ms=500\n",
                voters.join(","),
                folder.path().join(KEY).display(),
                data.display(),
            );
            fs::write(folder.path().join(format!("node{at}.properties")), properties).unwrap();
        }
        let nodes = ports.iter().zip(sasl_ports);
        let nodes = nodes.map(|(&port, &sasl_port)| Node { port, sasl_port, process: None }).collect();
        Self { nodes, folder }
    }

    /// What `bootstrap.servers` takes.
    pub(crate) fn brokers(&self) -> String {
        let addresses: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        addresses.join(",")
    }

    /// How to reach the listener that asks for a password, over TLS, as `user`.
    pub(crate) fn kafka_as(&self, user: &str, topic: &str) -> Kafka {
        Kafka {
            security: Security::SaslSsl,
            sasl_mechanism: "PLAIN".into(),
            username: user.into(),
            ca_file: Some(self.folder.path().join(CERTIFICATE)),
            brokers: format!("127.0.0.1:{}", self.nodes[0].sasl_port),
            topic: topic.into(),
            ..Kafka::default()
        }
    }

    /// From now on `user` may write the topic, and not read it.
    pub(crate) fn let_only_write(&self, user: &str, topic: &str) {
        let principal = format!("User:{user}");
        let mut rule = Command::new("java");
        rule.arg("-cp").arg(libraries().join("*")).args(["kafka.admin.AclCommand", "--bootstrap-server"]);
        rule.args([&self.brokers(), "--add", "--allow-principal", &principal, "--operation", "Write"]);
        run(rule.args(["--topic", topic]));
    }

    /// End a node with SIGKILL.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(mut process) = self.nodes[node].process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Send a signal to a node.
    pub(crate) fn signal(&self, node: usize, signal: &str) {
        let process = self.nodes[node].process.as_ref().unwrap();
        assert!(Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap().success());
    }

    /// Start a node that was killed or never started, without waiting for it.
    pub(crate) fn spawn(&mut self, node: usize) {
        let path = |name: String| self.folder.path().join(name);
        let log = File::options().create(true).append(true).open(path(format!("node{node}.log"))).unwrap();
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
            .arg(format!("-Dlog4j.configuration=file:{}", path("log4j.properties".into()).display()))
            .arg("-cp")
            .arg(libraries().join("*"))
            .arg("kafka.Kafka")
            .arg(path(format!("node{node}.properties")))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let process = command.spawn().unwrap_or_else(|error| panic!("java: {error}; run `make kafka`"));
        self.nodes[node].process = Some(process);
    }

    /// Wait until `nodes` of them serve.
    pub(crate) fn wait(&mut self, nodes: usize) {
        let deadline = Instant::now() + PATIENCE;
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.brokers())
            .set("log_level", "0")
            .create()
            .unwrap();
        loop {
            let metadata = consumer.fetch_metadata(None, Duration::from_secs(2));
            if metadata.is_ok_and(|metadata| metadata.brokers().len() >= nodes) {
                return;
            }
            for at in 0..self.nodes.len() {
                let ended = self.nodes[at].process.as_mut().and_then(|process| process.try_wait().unwrap());
                assert!(ended.is_none(), "node {at} ended:\n{}", self.log(at));
            }
            assert!(Instant::now() < deadline, "no {nodes} nodes in {PATIENCE:?}:\n{}", self.log(0));
        }
    }

    /// Make a topic and wait until it can be written to.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let replication = TopicReplication::Fixed(self.nodes.len().min(3) as i32);
        let mut topic = NewTopic::new(name, partitions, replication);
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        // A client that has just met the brokers may lose the one it asked.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let made = block_on(self.admin().create_topics([&topic], &options));
            match made.as_deref() {
                Ok([Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))]) => return,
                _ => assert!(Instant::now() < deadline, "{made:?}"),
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Remove a topic.
    pub(crate) fn delete_topic(&self, name: &str) {
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        let deleted = block_on(self.admin().delete_topics(&[name], &options)).unwrap();
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    }

    /// Remove the messages of partition 0 before `offset`, as retention does.
    pub(crate) fn delete_records(&self, topic: &str, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
        block_on(self.admin().delete_records(&list, &AdminOptions::new())).unwrap();
    }

    /// The node that leads partition 0.
    pub(crate) fn leader(&self, topic: &str) -> usize {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.brokers())
            .set("log_level", "0")
            .create()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(metadata) = consumer.fetch_metadata(Some(topic), Duration::from_secs(2)) {
                let leader = metadata.topics()[0].partitions().first().map_or(-1, MetadataPartition::leader);
                if leader > 0 {
                    return leader as usize - 1;
                }
            }
            assert!(Instant::now() < deadline, "`{topic}` has no leader");
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", self.brokers()).create().unwrap()
    }

    /// The end of a node's log.
    fn log(&self, node: usize) -> String {
        let log = fs::read_to_string(self.folder.path().join(format!("node{node}.log"))).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.kill(node));
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The brokers' key and certificate, in the folder of the cluster.
const KEY: &str = "broker.p12";
/// The certificate alone.
const CERTIFICATE: &str = "broker.pem";

/// Make a key, and a certificate of 127.0.0.1 that vouches for itself.
fn make_certificate(folder: &Path) {
    let keytool = |arguments: &[&str]| {
        let mut keytool = Command::new("keytool");
        keytool.current_dir(folder).args(arguments);
        run(keytool.args(["-keystore", KEY, "-storepass", KEY_PASSWORD, "-alias", "broker"]));
    };
    let kind = ["-genkeypair", "-storetype", "PKCS12", "-keyalg", "EC", "-groupname", "secp256r1"];
    let of = ["-dname", "CN=aquatope", "-validity", "2", "-ext", "SAN=IP:127.0.0.1", "-ext", "bc:c=ca:true"];
    keytool(&[&kind[..], &of[..]].concat());
    keytool(&["-exportcert", "-rfc", "-file", CERTIFICATE]);
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run `make kafka`"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Ports nobody listens on: all held at once while they are chosen.
fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// Where `make kafka` puts the libraries.
fn libraries() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kafka/lib");
    assert!(folder.is_dir(), "Apache Kafka is not in target/kafka/lib; run `make kafka`");
    folder
}
