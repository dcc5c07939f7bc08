"""Each threat of docs/security.md has tests, which are listed here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from local.stack import ROOT

#: By the threat's name in the document: its tests, by file.
TESTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "leaked secrets": {
        "security/test_secrets.py": [
            "test_a_whole_run_tells_no_secret",
            "test_settings_that_are_wrong_tell_no_secret",
            "test_what_a_hub_quotes_holds_no_key",
        ],
        "cli/test_process.py": ["test_no_secret_is_shown"],
        "telemetry/test_logs.py": [
            "test_telemetry_contains_no_secret",
            "test_headers_logged_by_urllib3_are_redacted",
            "test_logs_of_libraries_are_redacted",
        ],
        "security/test_redaction.py": [
            "test_redaction",
            "test_no_key_comes_out",
            "test_a_key_that_is_cut",
            "test_an_exception_keeps_its_type",
            "test_an_id_may_look_random",
            "test_once_is_enough",
            "test_what_is_no_secret_stays",
            "test_ids_dates_and_addresses_stay",
            "test_the_time_grows_with_the_length_alone",
        ],
    },
    "SAS": {
        "security/test_sas.py": [
            "test_it_names_one_container_four_rights_and_an_end",
            "test_each_import_has_its_own",
            "test_it_opens_nothing_else",
            "test_it_opens_no_other_service",
            "test_it_ends",
            "test_there_is_none_where_the_hub_has_an_identity",
        ],
    },
    "keys": {
        "test_entra.py": ["test_the_whole_path_without_any_key"],
    },
    "exhausted resources": {
        "security/test_files.py": ["test_it_is_rejected_and_the_next_goes_in"],
        "device_files/test_validation.py": [
            "test_memory_does_not_grow_with_the_file",
            "test_one_line_cannot_fill_memory_or_report",
        ],
    },
    "ambiguous files": {
        "device_files/test_validation.py": ["test_what_lax_readers_let_pass"],
        "device_files/test_properties.py": ["test_good_lines_are_handed_on_and_the_hub_takes_them"],
        "imports/test_intake.py": ["test_blob_that_changes_during_validation"],
    },
    "mass deletion": {
        "imports/test_validation.py": ["test_deletes_require_confirmation_in_metadata"],
    },
    "names that break out": {
        "security/test_names.py": [
            "test_names_of_files",
            "test_names_that_no_list_may_hold",
            "test_what_a_file_says_of_its_devices",
            "test_a_folder_that_names_no_hub",
            "test_names_of_hubs",
            "test_names_of_hubs_in_connection_strings",
            "test_a_list_has_a_line_an_import",
        ],
        "device_files/test_validation_report.py": ["test_a_spreadsheet_runs_nothing"],
        "web/browser/test_dashboard.py": ["test_whatever_a_file_holds_is_text"],
    },
    "path traversal": {
        "security/test_names.py": ["test_dots_lead_to_no_other_container"],
    },
    "forged log lines": {
        "security/test_names.py": [
            "test_a_line_stays_one_line",
            "test_a_reason_that_repeats_the_name",
        ],
    },
    "malicious hub": {
        "security/test_names.py": [
            "test_what_a_hub_says",
            "test_what_the_log_of_a_job_says",
            "test_a_code_that_nobody_knows",
        ],
        "hub/test_parsing.py": [
            "test_any_job_can_be_kept",
            "test_any_refusal_is_an_error_of_ours",
            "test_any_bytes_are_a_log",
            "test_an_endless_line_takes_no_memory_and_says_so",
        ],
        "imports/test_unexpected_answers.py": [
            "test_invalid_properties_of_a_job",
            "test_malformed_log",
        ],
    },
    "SSRF": {
        "security/test_outbound.py": [
            "test_no_address_of_a_file_or_of_a_hub_is_called",
            "test_a_hub_leads_nowhere_else",
            "test_a_storage_account_leads_nowhere_else",
            "test_a_storage_account_takes_no_credential_elsewhere",
            "test_a_receiver_of_events_leads_nowhere_else",
        ],
    },
    "missing keys": {
        "test_function_app.py": ["test_every_function_and_binding"],
    },
    "stolen function key": {
        "security/test_key.py": [
            "test_there_are_no_other_endpoints",
            "test_what_reads_changes_nothing",
            "test_what_changes_touches_imports_that_there_are",
            "test_no_setting_is_shown",
        ],
        "test_function_app.py": ["test_what_is_served_is_a_setting"],
    },
    "large requests": {
        "security/test_key.py": [
            "test_parameters_are_bounded",
            "test_a_posted_bomb_is_not_unpacked",
            "test_what_is_posted_is_not_kept_and_not_logged",
        ],
    },
    "cross-site requests": {
        "web/test_imports.py": ["test_pages_of_other_sites_may_not_act"],
        "security/test_key.py": [
            "test_pages_of_other_sites_may_not_act_by_the_dashboard",
            "test_every_page_has_its_guards",
        ],
        "web/browser/test_dashboard.py": [
            "test_the_policy_runs_no_script_that_is_not_the_page_s_own"
        ],
    },
    "forged events": {
        "events/test_webhook.py": ["test_event_is_signed"],
    },
    "forged upload events": {
        "imports/test_intake.py": [
            "test_event_of_another_container_is_ignored",
            "test_repeated_event_is_ignored",
        ],
    },
    "published files": {
        "package/test_package.py": ["test_what_runs_is_published_and_nothing_else"],
    },
    "wide roles": {
        "checks/test_bicep.py": [
            "test_roles",
            "test_the_hub_is_limited_to_the_containers_of_imports",
            "test_keys_are_disabled",
        ],
    },
    "replaced staged file": {
        "security/test_staged.py": ["test_a_staged_file_that_was_changed_is_not_imported"],
    },
    "foreign container": {
        "security/test_staged.py": ["test_a_container_of_somebody_else_is_not_used"],
    },
}
#: Tests of the tests.
CONTROLS = {
    "test_a_line_that_nobody_wants_costs_nothing",
    "test_the_canary_would_have_seen_it",
}


def test_each_threat_has_tests() -> None:
    text = (ROOT / "docs/security.md").read_text()
    [section] = re.findall(r"^## Threats\n(.*?)^## ", text, re.M | re.S)
    assert re.findall(r"^\| \*\*(.+?)\*\*", section, re.M) == [*TESTS]
    for files in TESTS.values():
        for file, tests in files.items():
            source = (ROOT / "tests" / file).read_text()
            assert [test for test in tests if f"\ndef {test}(" not in source] == [], file


def test_each_test_of_security_belongs_to_a_threat() -> None:
    listed = {
        test for files in TESTS.values() for tests in files.values() for test in tests
    } | CONTROLS
    for path in (ROOT / "tests/security").glob("test_*.py"):
        if path.name != "test_document.py":
            assert set(re.findall(r"^def (test_\w+)", path.read_text(), re.M)) <= listed, path.name
