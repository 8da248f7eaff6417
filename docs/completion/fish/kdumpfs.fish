# Completion of kdumpfs for fish: keep it as completions/kdumpfs.fish, or source it
function _kdumpfs_completion
    set -l option (string match -r '^--[^=]*=' -- (commandline -t))
    for line in (env _KDUMPFS_COMPLETE=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) kdumpfs 2> /dev/null)
        set -l part (string split -m 1 , -- $line)
        switch $part[1]
            case dir
                for path in (__fish_complete_directories $part[2]); echo "$option"$path; end
            case file
                for path in (__fish_complete_path $part[2]); echo "$option"$path; end
            case plain
                echo "$option"$part[2]
        end
    end
end
complete --no-files --command kdumpfs --arguments "(_kdumpfs_completion)"
