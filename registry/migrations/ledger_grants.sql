-- Who may do what with the ledger's tables. Run after every change of them, by whoever makes it.
-- What is not granted here is refused: a new table is nobody's until it has its lines here.
REVOKE ALL ON baton_ledger, baton_entries, baton_heads, baton_reports, baton_leases,
    baton_node_status FROM PUBLIC, baton_writer, baton_node, baton_worker;

-- The registrar and the commands: entries are appended; of those that are there only what MLflow
-- showed is noted.
GRANT SELECT ON baton_ledger, baton_entries, baton_heads, baton_reports, baton_leases,
    baton_node_status TO baton_writer;
GRANT UPDATE (revision) ON baton_ledger TO baton_writer;
GRANT INSERT, UPDATE (snapshot) ON baton_entries TO baton_writer;
GRANT INSERT, UPDATE (revision) ON baton_heads TO baton_writer;
GRANT INSERT ON baton_reports TO baton_writer;
GRANT INSERT, UPDATE (holder, turn), DELETE ON baton_leases TO baton_writer;

-- The nodes: they read, and say how they are.
GRANT SELECT ON baton_ledger, baton_entries, baton_heads, baton_reports, baton_leases,
    baton_node_status TO baton_node;
GRANT INSERT, UPDATE (at_ms, body) ON baton_node_status TO baton_node;

-- The worker of jobs: a training asks what is in Production, to be compared with it.
GRANT SELECT ON baton_ledger, baton_entries, baton_heads TO baton_worker;

-- A node writes the row of the name it is connected under. Nodes that share the role baton_node are
-- trusted with that name; one with a role of its own, baton_node_<name>, can write no other row.
ALTER TABLE baton_node_status ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS baton_all_read ON baton_node_status;
DROP POLICY IF EXISTS baton_own_row_made ON baton_node_status;
DROP POLICY IF EXISTS baton_own_row_written ON baton_node_status;
CREATE POLICY baton_all_read ON baton_node_status FOR SELECT USING (true);
CREATE POLICY baton_own_row_made ON baton_node_status FOR INSERT TO baton_node WITH CHECK (
    left(node, 63) = current_setting('application_name')
    AND current_user IN ('baton_node', left('baton_node_' || node, 63)));
CREATE POLICY baton_own_row_written ON baton_node_status FOR UPDATE TO baton_node USING (
    left(node, 63) = current_setting('application_name')
    AND current_user IN ('baton_node', left('baton_node_' || node, 63)));
