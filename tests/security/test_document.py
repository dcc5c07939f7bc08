"""Tests of each threat in docs/security.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from local.stack import ROOT

#: Test names by threat (as named in the document) and file.
TESTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "leaked secrets": {
        "security/test_secrets.py": [
            "test_a_whole_run_exposes_no_secret",
            "test_invalid_settings_expose_no_secret",
            "test_keys_quoted_by_a_hub_are_redacted",
        ],
        "cli/test_process.py": ["test_no_secret_is_shown"],
        "telemetry/test_logs.py": [
            "test_telemetry_contains_no_secret",
            "test_headers_logged_by_urllib3_are_redacted",
            "test_logs_of_libraries_are_redacted",
        ],
        "security/test_redaction.py": [
            "test_redaction",
            "test_a_key_split_by_white_space",
            "test_an_exception_keeps_its_type",
            "test_an_id_that_contains_a_name_of_a_secret",
            "test_an_id_without_special_characters_holds_no_secret",
            "test_a_random_looking_id_is_kept",
            "test_redaction_is_idempotent",
            "test_redaction_takes_linear_time",
        ],
        "security/test_redacted_outputs.py": ["test_no_key_reaches_any_output"],
        "security/test_harmless_text.py": [
            "test_harmless_text_is_kept",
            "test_ids_dates_and_addresses_are_kept",
        ],
    },
    "SAS": {
        "security/test_sas.py": [
            "test_the_sas_states_container_permissions_and_expiry",
            "test_each_import_has_its_own_sas",
            "test_the_sas_grants_no_other_access",
            "test_the_sas_grants_no_other_service",
            "test_the_sas_expires",
            "test_no_sas_for_a_hub_with_an_identity",
        ],
    },
    "keys": {
        "test_entra.py": ["test_the_whole_path_without_any_key"],
    },
    "exhausted resources": {
        "security/test_files.py": [
            "test_a_malicious_file_is_rejected_and_the_next_import_completes"
        ],
        "device_files/test_validation.py": [
            "test_memory_does_not_grow_with_the_file",
            "test_one_line_cannot_exhaust_memory_or_the_report",
        ],
        "imports/test_line_joins.py": ["test_memory_does_not_grow_with_the_lines"],
    },
    "ambiguous files": {
        "device_files/test_validation.py": ["test_json_that_lenient_readers_accept_is_rejected"],
        "device_files/test_properties.py": ["test_valid_lines_are_staged_and_accepted_by_the_hub"],
        "imports/test_intake.py": ["test_blob_that_changes_during_validation"],
    },
    "mappings": {
        "device_files/test_mapping_document.py": [
            "test_keys_are_refused_and_not_shown",
            "test_large_mappings_are_not_read",
        ],
        "device_files/test_mapping.py": [
            "test_cells_are_not_evaluated",
            "test_keys_are_not_shown",
        ],
        "imports/test_mappings.py": [
            "test_an_invalid_mapping_has_a_record",
            "test_storage_that_fails_is_no_missing_mapping",
        ],
    },
    "mass deletion": {
        "imports/test_validation.py": ["test_deletes_require_confirmation_in_metadata"],
        "imports/test_holds.py": ["test_a_destructive_file_waits_for_its_approval"],
    },
    "evaded approval": {
        "security/test_approval.py": [
            "test_settings_do_not_relax_what_was_fixed",
            "test_metadata_do_not_approve",
            "test_a_retry_does_not_relax",
            "test_an_undo_does_not_relax",
            "test_other_content_is_not_approved",
            "test_a_header_names_nobody",
        ],
        "web/test_approval.py": ["test_another_plan_is_not_approved"],
        "web/test_callers.py": [
            "test_headers_count_only_if_the_platform_says_so",
            "test_four_eyes",
        ],
        "cli/test_caller.py": ["test_garbage_names_nobody"],
    },
    "backups": {
        "security/test_backups.py": [
            "test_no_sas_of_a_backup_is_made",
            "test_backups_are_in_containers_that_the_hub_cannot_reach",
            "test_a_sas_of_an_import_grants_no_access_to_its_backup",
            "test_no_container_of_uploads_is_one_of_backups",
            "test_a_backup_exposes_no_key",
            "test_a_replaced_backup_is_not_restored",
        ],
        "checks/test_roles.py": ["test_the_hub_is_limited_to_the_containers_of_imports"],
    },
    "an undo that destroys": {
        "imports/test_undo.py": ["test_what_others_changed_is_left_out"],
        "web/test_undo.py": ["test_deletes_are_confirmed", "test_an_undo_is_undone"],
    },
    "names that break out": {
        "security/test_names.py": [
            "test_file_names",
            "test_names_that_azurite_cannot_list",
            "test_values_of_device_lines",
            "test_a_folder_without_a_route",
            "test_hub_names",
            "test_hub_names_in_connection_strings",
            "test_list_prints_one_line_per_import",
        ],
        "device_files/test_validation_report.py": ["test_cells_are_safe_in_spreadsheets"],
        "web/browser/test_dashboard.py": ["test_file_content_is_shown_as_text"],
    },
    "path traversal": {
        "security/test_names.py": ["test_dot_segments_do_not_reach_another_container"],
    },
    "forged log lines": {
        "security/test_names.py": [
            "test_a_log_message_stays_on_one_line",
            "test_a_reason_that_contains_the_file_name",
        ],
    },
    "malicious hub": {
        "security/test_names.py": [
            "test_messages_of_a_hub",
            "test_entries_of_an_error_log",
            "test_an_unknown_error_code",
        ],
        "hub/test_parsing.py": [
            "test_any_job_can_be_stored",
            "test_any_error_response_is_a_hub_error",
            "test_any_bytes_are_a_log",
            "test_an_endless_line_takes_constant_memory_and_is_reported",
        ],
        "imports/test_unexpected_answers.py": [
            "test_invalid_properties_of_a_job",
            "test_malformed_log",
        ],
    },
    "SSRF": {
        "security/test_outbound.py": [
            "test_addresses_in_files_and_hub_responses_are_not_called",
            "test_redirects_of_a_hub_are_not_followed",
            "test_redirects_of_a_storage_account_are_not_followed",
            "test_a_storage_redirect_receives_no_credential",
            "test_redirects_of_an_event_receiver_are_not_followed",
        ],
    },
    "the address of an upload": {
        "security/test_sas.py": [
            "test_the_sas_of_an_upload_states_blob_permissions_and_expiry",
            "test_the_sas_of_an_upload_grants_no_other_access",
            "test_the_address_of_an_upload_is_only_in_the_answer",
        ],
        "web/test_uploads.py": ["test_wrong_parameters"],
        "checks/test_bicep.py": ["test_only_the_dashboard_may_upload_from_browsers"],
    },
    "a forged uploader": {
        "imports/test_upload_tickets.py": [
            "test_a_forged_ticket_names_nobody",
            "test_a_ticket_of_another_blob",
            "test_a_ticket_counts_once",
            "test_an_expired_ticket",
        ],
        "web/test_uploads.py": ["test_the_uploader_is_not_the_second_person"],
    },
    "missing keys": {
        "test_function_app.py": ["test_every_function_and_binding"],
    },
    "stolen function key": {
        "security/test_key.py": [
            "test_there_are_no_other_endpoints",
            "test_read_endpoints_change_nothing",
            "test_write_endpoints_change_only_existing_imports",
            "test_uploads_write_one_blob_and_its_ticket",
            "test_no_setting_is_shown",
        ],
        "test_function_app.py": ["test_served_endpoints_depend_on_a_setting"],
        "web/test_uploads.py": ["test_uploads_can_be_turned_off"],
    },
    "large requests": {
        "security/test_key.py": [
            "test_parameters_are_limited",
            "test_a_posted_decompression_bomb_is_not_unpacked",
            "test_posted_files_are_not_stored_or_logged",
        ],
    },
    "cross-site requests": {
        "web/test_imports.py": ["test_cross_site_requests_are_rejected"],
        "security/test_key.py": [
            "test_cross_site_dashboard_requests_are_rejected",
            "test_every_page_has_security_headers",
        ],
        "web/browser/test_dashboard.py": ["test_the_policy_blocks_foreign_scripts"],
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
        "package/test_package.py": ["test_exactly_the_deployed_files_are_published"],
    },
    "wide roles": {
        "checks/test_bicep.py": ["test_keys_are_disabled"],
        "checks/test_roles.py": [
            "test_roles",
            "test_the_hub_is_limited_to_the_containers_of_imports",
        ],
    },
    "replaced staged file": {
        "security/test_staged.py": ["test_a_changed_staged_file_is_not_imported"],
    },
    "exports of the registry": {
        "security/test_plans.py": [
            "test_the_container_of_an_export_is_deleted",
            "test_keys_are_exported_only_if_the_file_has_keys",
            "test_the_temporary_database_contains_no_key",
        ],
        "imports/test_retention.py": [
            "test_forgotten_exports_are_deleted",
            "test_export_of_an_open_comparison_is_kept",
        ],
    },
    "plans": {
        "security/test_plans.py": [
            "test_a_plan_exposes_no_key",
            "test_plan_csv_is_safe_in_spreadsheets",
        ],
    },
    "changes of others": {
        "imports/test_planning.py": [
            "test_a_device_that_changed_since_the_plan_fails_and_is_not_overwritten",
        ],
    },
    "foreign container": {
        "security/test_staged.py": ["test_a_foreign_container_is_not_used"],
    },
}
#: Tests that check other tests.
CONTROLS = {
    "test_a_disabled_log_level_formats_nothing",
    "test_the_canary_records_connections",
}


def test_each_threat_has_tests() -> None:
    text = (ROOT / "docs/security.md").read_text()
    [section] = re.findall(r"^## Threats\n(.*?)^## ", text, re.M | re.S)
    assert re.findall(r"^\| \*\*(.+?)\*\*", section, re.M) == [*TESTS]
    for files in TESTS.values():
        for file, tests in files.items():
            source = (ROOT / "tests" / file).read_text()
            assert [test for test in tests if f"\ndef {test}(" not in source] == [], file


def test_each_security_test_belongs_to_a_threat() -> None:
    listed = {
        test for files in TESTS.values() for tests in files.values() for test in tests
    } | CONTROLS
    for path in (ROOT / "tests/security").glob("test_*.py"):
        if path.name != "test_document.py":
            assert set(re.findall(r"^def (test_\w+)", path.read_text(), re.M)) <= listed, path.name
