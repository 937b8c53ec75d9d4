// Uses the platform as somebody would who knows Fly: by a client that others wrote. It writes one
// line of JSON for each step; what must stand there is said in `../clients.rs`.

const Client = require("fly-admin/dist/client").default;

const [address, token, image] = process.argv.slice(2);
const fly = new Client(token, { apiUrl: address, graphqlUrl: address });
const app = "shop";

const tell = async (step, call) => {
  try {
    const answer = await call;
    console.log(JSON.stringify({ step, answer }));
    return answer;
  } catch (error) {
    console.log(JSON.stringify({ step, error: String(error.message ?? error) }));
    process.exit(1);
  }
};

// This client cannot give a lease back; it is gone when nobody finds it.
const expiry = async (machine) => {
  for (;;) {
    const held = await fly.Machine.getLease(machine).catch(() => undefined);
    if (held === undefined) return;
    await new Promise((resume) => setTimeout(resume, 50));
  }
};

const config = (version) => ({
  image,
  env: { VERSION: version },
  guest: { cpu_kind: "shared", cpus: 1, memory_mb: 256 },
  services: [
    { protocol: "tcp", internal_port: 8080, ports: [{ port: 80, handlers: ["http"] }] },
  ],
});

const main = async () => {
  await tell("create app", fly.App.createApp({ app_name: app, org_slug: "personal" }));
  await tell("list apps", fly.App.listApps("personal"));
  await tell("organization", fly.Organization.getOrganization("personal"));
  await tell("regions", fly.Regions.getRegions());
  const given = await tell(
    "allocate address",
    fly.Network.allocateIpAddress({ appId: app, type: "v6" }),
  );
  await tell("app in detail", fly.App.getAppDetailed(app));
  await tell(
    "set secrets",
    fly.Secret.setSecrets({ appId: app, secrets: [{ key: "GREETING", value: "hello" }] }),
  );
  await tell(
    "create volume",
    fly.Volume.createVolume({ app_name: app, name: "data", region: "local", size_gb: 1 }),
  );
  const one = await tell(
    "create machine",
    fly.Machine.createMachine({ app_name: app, name: "one", config: config("one") }),
  );
  const machine = { app_name: app, machine_id: one.id };
  const reach = (state, instance_id) =>
    tell(
      `wait until ${state}`,
      fly.Machine.waitMachine({ ...machine, instance_id, state, timeout: "60s" }),
    );
  await reach("started", one.instance_id);
  await tell("list machines", fly.Machine.listMachines(app));
  await tell("processes", fly.Machine.listProcesses(machine));
  await tell("cordon", fly.Machine.cordonMachine(machine));
  await tell("uncordon", fly.Machine.uncordonMachine(machine));
  const two = await tell("update", fly.Machine.updateMachine({ ...machine, config: config("two") }));
  await reach("started", two.instance_id);
  await tell("versions", fly.Machine.listVersions(machine));
  await tell("restart", fly.Machine.restartMachine(machine));
  await reach("started", two.instance_id);
  await tell("signal", fly.Machine.signalMachine({ ...machine, signal: "SIGUSR1" }));
  await tell("stop", fly.Machine.stopMachine(machine));
  await reach("stopped", two.instance_id);
  await tell("start", fly.Machine.startMachine(machine));
  await reach("started", two.instance_id);
  await tell("events", fly.Machine.listEvents(machine));
  await tell("lease", fly.Machine.acquireLease({ ...machine, ttl: 1, description: "a test" }));
  await tell("read lease", fly.Machine.getLease(machine));
  await expiry(machine);
  await tell("unset secrets", fly.Secret.unsetSecrets({ appId: app, keys: ["GREETING"] }));
  const id = given.allocateIpAddress.ipAddress.id;
  await tell(
    "release address",
    fly.Network.releaseIpAddress({ appId: app, ipAddressId: id }),
  );
  await tell("delete machine", fly.Machine.deleteMachine({ ...machine, force: true }));
  await tell("delete app", fly.App.deleteApp(app));
  await tell("list apps after that", fly.App.listApps("personal"));
};

main();
